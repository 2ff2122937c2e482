"""A real browser. A console error or a failed request fails the test, so violations of the content policy do, too."""

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from coderproj.identity import tokens
from coderproj.identity.authentication import SESSION_COOKIE
from tests import chromium
from tests.e2e.scene import Scene, make_scene

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
# The width at which content must still fit (WCAG 1.4.10).
NARROW = {"width": 320, "height": 640}
# Wait for the transitions after a change of size or colour scheme.
SETTLE = """async () => {
    await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    const ends = document.getAnimations().filter((one) => one.effect.getComputedTiming().iterations !== Infinity);
    await Promise.allSettled(ends.map((one) => one.finished));
}"""
# WCAG at levels A and AA, and best practice. Preloading would apply style sheets inline, which the policy forbids.
RULES = {
    "preload": False,
    "resultTypes": ["violations"],  # one example of each rule that passes
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
}

# The rules about colours: axe's category "cat.color" at those levels. They take longer than all others.
COLOURS = ("color-contrast", "link-in-text-block")
COLOUR_RULES = RULES | {"runOnly": {"type": "rule", "values": list(COLOURS)}}
OTHER_RULES = RULES | {"rules": {name: {"enabled": False} for name in COLOURS}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The installed Chromium, started for each module.

    Playwright runs an event loop in this thread, which would make tests of other modules fail.
    """
    program = chromium.program()
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # playwright runs an event loop in this thread
    try:
        with sync_playwright() as playwright:
            running = playwright.chromium.launch(executable_path=program, args=FLAGS)
            yield running
            running.close()
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def context(browser: Browser, live_api) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=WIDE, base_url=live_api.url)
    yield context
    context.close()


@pytest.fixture
def problems() -> list[str]:
    """The console errors and failed requests of the page. Must be empty at the end."""
    return []


# htmx reports a request that ends because the page is left; it has other names for requests that fail.
ABORTED = re.compile(r"htmx:(?:sendAbort|afterRequest)\b")


def watched(context: BrowserContext, problems: list[str]) -> Page:
    """Open a tab that adds its console errors and failed requests to the list."""
    page = context.new_page()
    page.on(
        "console",
        lambda message: (
            problems.append(message.text) if message.type == "error" and not ABORTED.match(message.text) else None
        ),
    )
    page.on("pageerror", lambda error: problems.append(str(error)))
    # A request that ends because the page is left, such as a followed log, is not a failure.
    page.on(
        "requestfailed",
        lambda request: (
            None if request.failure == "net::ERR_ABORTED" else problems.append(f"{request.url}: {request.failure}")
        ),
    )
    return page


@pytest.fixture
def page(context: BrowserContext, problems: list[str]) -> Iterator[Page]:
    page = watched(context, problems)
    yield page
    page.goto("about:blank")  # ends the streams
    assert problems == []


@pytest.fixture
def scene(live_api) -> Scene:
    return make_scene()


def carry_session(context: BrowserContext, url: str, user: Any) -> None:
    _, token = tokens.issue(user=user)
    context.add_cookies([{"name": SESSION_COOKIE, "value": token, "url": url}])


@pytest.fixture
def sign_in(context: BrowserContext, live_api) -> Callable[[Any], None]:
    """Set the session cookie of a user in the browser."""
    return lambda user: carry_session(context, live_api.url, user)


def violations(page: Page, rules: dict[str, Any] = RULES) -> list[dict[str, Any]]:
    """Return the violations that axe finds on the current page. Loading axe takes about as long as one run."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    page.evaluate(SETTLE)  # colours during a transition are not those of a scheme
    return page.evaluate("(options) => axe.run(options).then((found) => found.violations)", rules)


@pytest.fixture
def looks_right() -> Callable[[Page], None]:
    """Check the current page: accessible in light, dark and on a phone, without sideways scrolling."""

    def check(page: Page) -> None:
        found: list[str] = []
        for scheme, size in (("light", WIDE), ("dark", WIDE), ("light", PHONE), ("light", NARROW)):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.set_viewport_size(size)  # type: ignore[arg-type]
            name = f"{scheme}, {size['width']} px"
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > size["width"]:
                found.append(f"{name}: scrolls sideways, {wide} px")
            if size is NARROW:
                continue  # the same elements as on other phones
            # Dark has the same layout as light, a phone the same colours; ``test_looks`` checks the colours of the
            # menu on phones.
            rules = OTHER_RULES if size is PHONE else COLOUR_RULES if scheme == "dark" else RULES
            for violation in violations(page, rules):
                nodes = [node["html"][:160] for node in violation["nodes"][:3]]
                found.append(f"{name}: {violation['id']} {nodes}")
        page.set_viewport_size(WIDE)  # type: ignore[arg-type]
        page.emulate_media(color_scheme="light")
        assert found == []

    return check
