"""Pages of the console beside their goals: the server's time for each, what a first visit transfers, and how long a
browser takes to show a long log. The last line is ``N of M goals met``.

Time on the server is that of requests one after the other on one connection to the product's own server; what travels
and what is painted is what a Chromium says.
"""

import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.database import own_database, served
from tests.bench.jobs import Goals
from tests.bench.load import Connection, cpu_seconds

if TYPE_CHECKING:  # importing it needs Django to be set up
    from playwright.sync_api import Browser

    from tests.bench.page_seed import PageData

WARM_UP, REQUESTS = 3, 20
PAGE_MS, FIRST_VISIT_BYTES, LOG_MS = 60, 130_000, 1_000
VISITS = 5
# Resolved when the line is in the document and a frame with it has been drawn, with the time since the navigation.
PAINTED = """(id) => {
    const drawn = (done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())));
    return new Promise((done) => {
        const look = () => document.getElementById(id) ? drawn(done) : requestAnimationFrame(look);
        look();
    });
}"""


@dataclass(frozen=True)
class PageCost:
    """Milliseconds of wall clock, and of the processor of server and database, per request; ``size`` in bytes."""

    route: str
    p50: float
    p95: float
    cpu: float
    size: int


def main() -> int:
    """Seed a database of its own, serve it, measure."""
    for name in ("DATABASE_URL", "PYTHONDONTWRITEBYTECODE"):
        os.environ.pop(name, None)
    goals = Goals()
    with own_database() as database, tempfile.TemporaryDirectory(prefix="coderproj-static-") as static:
        from coderproj.console.static_files import collect
        from tests.bench.page_seed import seed_pages

        collect(Path(static))
        os.environ["STATIC_ROOT"] = static
        data = seed_pages()
        assert database.pid is not None
        print(f"       load {os.getloadavg()[0]:.1f}, {REQUESTS} requests a page")
        with served() as (url, server):
            judge_pages(goals, page_costs(url, data, [server, database.pid]))
            with chromium() as browser:
                first_visit(goals, browser, url, data)
                long_log(goals, browser, url, data)
    print(goals.summary())
    return 0


# ---------------------------------------------------------------------- the server
def page_costs(url: str, data: "PageData", watched: list[int]) -> Iterator[PageCost]:
    """Every page that can be opened, as the deployment's owner."""
    from coderproj.identity.authentication import SESSION_COOKIE
    from tests.test_pages import SHOWN

    headers = {"Cookie": f"{SESSION_COOKIE}={data.session}", "Accept-Encoding": "gzip, br"}
    scene = data.scene
    # What can be canceled has to be running, what can be retried has failed.
    running = {"template": scene.docker.name, "version": scene.running.name, "job": str(scene.running.job_id)}
    states = {
        "cancel": running | {"id": str(scene.running.pk)},
        "retry": {"version": data.long_log.name, "id": str(data.long_log.pk)},
    }
    for route in SHOWN:
        state = states.get(str(route).rpartition("/")[2], {})
        connection = Connection(url, route.path(data.addresses | state), headers)
        for _ in range(WARM_UP):
            status, _ = connection.ask()
            assert status in {200, 302}, f"{route} answered {status}"
        if status == 302:  # the address of a form, or another address of a page
            continue
        times = []
        began = cpu_seconds(watched)
        for _ in range(REQUESTS):
            start = time.perf_counter()
            connection.ask()
            times.append((time.perf_counter() - start) * 1000)
        cpu = (cpu_seconds(watched) - began) * 1000 / REQUESTS
        connection.socket.close()
        yield PageCost(
            str(route), statistics.median(times), statistics.quantiles(times, n=20)[-1], cpu, connection.size
        )


def judge_pages(goals: Goals, costs: Iterator[PageCost]) -> None:
    print(f"       {'page':56} {'p50 ms':>7} {'p95 ms':>7} {'CPU ms':>7} {'bytes':>8}")
    measured = []
    for cost in costs:
        measured.append(cost)
        print(f"       {cost.route:56} {cost.p50:7.1f} {cost.p95:7.1f} {cost.cpu:7.1f} {cost.size:8}", flush=True)
    for cost in sorted(measured, key=lambda one: one.p50, reverse=True):
        goals.at_most(cost.route, cost.p50, PAGE_MS, " ms")


# ---------------------------------------------------------------------- the browser
@contextmanager
def chromium() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    from tests.chromium import program
    from tests.e2e.conftest import FLAGS

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def first_visit(goals: Goals, browser: "Browser", url: str, data: "PageData") -> None:
    """From the form to sign in to the list of templates, with nothing in the browser's cache: heads and bodies of
    all answers as they travelled."""
    from tests.e2e.scene import PASSWORD

    context = browser.new_context()
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("Network.enable")
    names: dict[str, str] = {}
    sizes: Counter[str] = Counter()

    def sent(event: dict[str, Any]) -> None:
        if redirect := event.get("redirectResponse"):
            sizes[f"{names[event['requestId']]} (redirect)"] += int(redirect["encodedDataLength"])
        names[event["requestId"]] = event["request"]["url"].removeprefix(url)

    devtools.on("Network.requestWillBeSent", sent)
    devtools.on(
        "Network.loadingFinished",
        lambda event: sizes.update({names[event["requestId"]]: int(event["encodedDataLength"])}),
    )
    page.goto(f"{url}/login", wait_until="networkidle")
    page.get_by_label("Email").fill(data.scene.owner.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/templates")
    page.wait_for_load_state("networkidle")
    for name, size in sizes.most_common():
        print(f"       {name:66} {size:8,} bytes")
    goals.at_most("first visit: signing in and the templates", sizes.total(), FIRST_VISIT_BYTES, " bytes")
    context.close()


def long_log(goals: Goals, browser: "Browser", url: str, data: "PageData") -> None:
    """The page of an import that failed in its 5,000th line, at that line: from the navigation until it is painted."""
    from coderproj.identity.authentication import SESSION_COOKIE
    from tests.bench.page_seed import LINES

    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_cookies([{"name": SESSION_COOKIE, "value": data.session, "url": url}])
    where = data.addresses
    path = f"/templates/{where['organization']}/{where['template']}/versions/{data.long_log.name}#L{LINES}"
    times = []
    for _ in range(VISITS):
        page = context.new_page()
        page.goto(f"{url}{path}", wait_until="commit")
        times.append(page.evaluate(PAINTED, f"L{LINES}"))
        assert page.locator(".line").count() == LINES
        assert page.locator(f"#L{LINES}").is_visible()
        page.close()
    print(f"       {LINES:,} lines painted after {', '.join(f'{one:.0f}' for one in times)} ms")
    goals.at_most(f"{LINES:,} lines of log on screen, median", statistics.median(times), LOG_MS, " ms")
    context.close()


if __name__ == "__main__":
    sys.exit(main())
