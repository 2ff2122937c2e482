"""Pages of the console compared with their goals. The last line is ``N of M goals met``.

The figures are the server's time for each page, the bytes of a first visit, and the time until a browser shows a long
log. The server's time is measured with requests one after the other on one connection to the product's server. Bytes
and painting are measured by Chromium.
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

if TYPE_CHECKING:  # the import requires django.setup()
    from playwright.sync_api import Browser

    from tests.bench.page_seed import PageData

WARM_UP, REQUESTS = 3, 20
PAGE_MS, FIRST_VISIT_BYTES, LOG_MS = 60, 130_000, 1_000
VISITS = 5
# Resolves to the time since the navigation, after a frame with the line has been drawn.
PAINTED = """(id) => {
    const drawn = (done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())));
    return new Promise((done) => {
        const check = () => document.getElementById(id) ? drawn(done) : requestAnimationFrame(check);
        check();
    });
}"""


@dataclass(frozen=True)
class PageCost:
    """Milliseconds of wall clock, and of CPU time of server and database, per request; ``size`` in bytes."""

    route: str
    p50: float
    p95: float
    cpu: float
    size: int


def main() -> int:
    """Seed a new database, serve it, measure."""
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
        print(f"       load {os.getloadavg()[0]:.1f}, {REQUESTS} requests per page")
        with served() as (url, server):
            report_pages(goals, page_costs(url, data, [server, database.pid]))
            with chromium() as browser:
                first_visit(goals, browser, url, data)
                long_log(goals, browser, url, data)
    print(goals.summary())
    return 0


# ---------------------------------------------------------------------- the server
def page_costs(url: str, data: "PageData", watched: list[int]) -> Iterator[PageCost]:
    """Measure every page as the deployment's owner."""
    from coderproj.identity.authentication import SESSION_COOKIE
    from tests.test_pages import SHOWN

    headers = {"Cookie": f"{SESSION_COOKIE}={data.session}", "Accept-Encoding": "gzip, br"}
    scene = data.scene
    # Only a running import can be canceled, only a failed import can be retried.
    running = {"template": scene.docker.name, "version": scene.running.name, "job": str(scene.running.job_id)}
    states = {
        "cancel": running | {"id": str(scene.running.pk)},
        "retry": {"version": data.long_log.name, "id": str(data.long_log.pk)},
    }
    for route in SHOWN:
        state = states.get(str(route).rpartition("/")[2], {})
        connection = Connection(url, route.path(data.addresses | state), headers)
        for _ in range(WARM_UP):
            status, _ = connection.send()
            assert status in {200, 302}, f"{route} returned {status}"
        if status == 302:  # a form's target, or a redirect to a page
            continue
        times = []
        began = cpu_seconds(watched)
        for _ in range(REQUESTS):
            start = time.perf_counter()
            connection.send()
            times.append((time.perf_counter() - start) * 1000)
        cpu = (cpu_seconds(watched) - began) * 1000 / REQUESTS
        connection.socket.close()
        yield PageCost(
            str(route), statistics.median(times), statistics.quantiles(times, n=20)[-1], cpu, connection.size
        )


def report_pages(goals: Goals, costs: Iterator[PageCost]) -> None:
    print(f"       {'page':56} {'p50 ms':>7} {'p95 ms':>7} {'CPU ms':>7} {'bytes':>8}")
    measured = []
    for cost in costs:
        measured.append(cost)
        print(f"       {cost.route:56} {cost.p50:7.1f} {cost.p95:7.1f} {cost.cpu:7.1f} {cost.size:8}", flush=True)
    for cost in sorted(measured, key=lambda cost: cost.p50, reverse=True):
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
    """Measure the bytes, with headers, of all responses from the login page to the list of templates, without cache."""
    from tests.e2e.scene import PASSWORD

    context = browser.new_context()
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("Network.enable")
    names: dict[str, str] = {}
    sizes: Counter[str] = Counter()

    def request_sent(event: dict[str, Any]) -> None:
        if redirect := event.get("redirectResponse"):
            sizes[f"{names[event['requestId']]} (redirect)"] += int(redirect["encodedDataLength"])
        names[event["requestId"]] = event["request"]["url"].removeprefix(url)

    devtools.on("Network.requestWillBeSent", request_sent)
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
    goals.at_most("first visit: sign in and the templates", sizes.total(), FIRST_VISIT_BYTES, " bytes")
    context.close()


def long_log(goals: Goals, browser: "Browser", url: str, data: "PageData") -> None:
    """Measure the time from the navigation until the last of 5,000 log lines, linked by its anchor, is painted."""
    from coderproj.identity.authentication import SESSION_COOKIE
    from tests.bench.page_seed import LINES

    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_cookies([{"name": SESSION_COOKIE, "value": data.session, "url": url}])
    values = data.addresses
    path = f"/templates/{values['organization']}/{values['template']}/versions/{data.long_log.name}#L{LINES}"
    times = []
    for _ in range(VISITS):
        page = context.new_page()
        page.goto(f"{url}{path}", wait_until="commit")
        times.append(page.evaluate(PAINTED, f"L{LINES}"))
        assert page.locator(".line").count() == LINES
        assert page.locator(f"#L{LINES}").is_visible()
        page.close()
    print(f"       {LINES:,} lines painted after {', '.join(f'{time_:.0f}' for time_ in times)} ms")
    goals.at_most(f"{LINES:,} log lines on screen, median", statistics.median(times), LOG_MS, " ms")
    context.close()


if __name__ == "__main__":
    sys.exit(main())
