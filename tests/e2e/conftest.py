"""A real browser. A console error or a failed request of the page fails the test: that is the test of the policy."""

import os
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
# Until the transitions that a change of size or scheme has begun are over.
SETTLE = """async () => {
    await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    const ends = document.getAnimations().filter((one) => one.effect.getComputedTiming().iterations !== Infinity);
    await Promise.allSettled(ends.map((one) => one.finished));
}"""
# WCAG at levels A and AA, and best practice. Preloading would apply style sheets inline, which the policy forbids.
RULES = {
    "preload": False,
    "resultTypes": ["violations"],  # of all that is well only one example each
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
}

# Of these, what depends on colours: axe's category "cat.color" at those levels. It takes longer than all the rest.
COLOURS = ("color-contrast", "link-in-text-block")
COLOUR_RULES = RULES | {"runOnly": {"type": "rule", "values": list(COLOURS)}}
OTHER_RULES = RULES | {"rules": {name: {"enabled": False} for name in COLOURS}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """An installed Chromium. Not for the session: while it runs, this thread has a running event loop, which makes
    tests of other modules fail."""
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
    """What the page in the browser complained of; has to be empty in the end."""
    return []


def watched(context: BrowserContext, problems: list[str]) -> Page:
    """A new tab, whose complaints are added to the list."""
    page = context.new_page()
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    # What is cut off because one goes elsewhere, a log that is followed above all, is no failure.
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
    page.goto("about:blank")  # ends what is followed
    assert problems == []


@pytest.fixture
def scene(live_api) -> Scene:
    return make_scene()


def carry_session(context: BrowserContext, url: str, user: Any) -> None:
    _, token = tokens.issue(user=user)
    context.add_cookies([{"name": SESSION_COOKIE, "value": token, "url": url}])


@pytest.fixture
def sign_in(context: BrowserContext, live_api) -> Callable[[Any], None]:
    """Let the browser carry a session of a user."""
    return lambda user: carry_session(context, live_api.url, user)


def violations(page: Page, rules: dict[str, Any] = RULES) -> list[dict[str, Any]]:
    """What axe finds on the page as it is shown. Reading its program takes about as long as one of its runs."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    page.evaluate(SETTLE)  # colours on their way from light to dark are nobody's
    return page.evaluate("(options) => axe.run(options).then((found) => found.violations)", rules)


@pytest.fixture
def looks_right() -> Callable[[Page], None]:
    """Check the page that is shown: accessible in light, dark and on a phone, and nothing runs out sideways."""

    def check(page: Page) -> None:
        found: list[str] = []
        for scheme, size in (("light", WIDE), ("dark", WIDE), ("light", PHONE), ("dark", PHONE)):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.set_viewport_size(size)  # type: ignore[arg-type]
            name = f"{scheme}, {size['width']} px"
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > size["width"]:
                found.append(f"{name}: scrolls sideways, {wide} px")
            if size is PHONE and scheme == "dark":
                continue  # the same colours as on a wide screen
            # Dark has the same elements in the same places as light, a phone the same colours; ``test_looks`` looks at
            # those of a phone's menu.
            rules = OTHER_RULES if size is PHONE else COLOUR_RULES if scheme == "dark" else RULES
            for violation in violations(page, rules):
                nodes = [node["html"][:160] for node in violation["nodes"][:3]]
                found.append(f"{name}: {violation['id']} {nodes}")
        page.set_viewport_size(WIDE)  # type: ignore[arg-type]
        page.emulate_media(color_scheme="light")
        assert found == []

    return check
