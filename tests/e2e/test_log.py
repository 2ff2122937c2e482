"""The log console of a running job in a browser: lines, stages, searching, reconnecting."""

import re

import pytest
from playwright.sync_api import Page, expect

from provisioning.engine.base import LogLevel, LogLine, Stage
from provisioning.log import writing
from provisioning.queue import jobs
from tests.e2e.conftest import PHONE, WIDE
from tests.e2e.scene import Scene, found, line
from tests.factories import claim

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
TEMPLATE = "/templates/acme/docker"


def open_running(page: Page, scene: Scene, ending: str = "") -> None:
    """Open the page of the running import and wait until it follows the log."""
    page.goto(f"{TEMPLATE}/versions/{scene.running.name}{ending}")
    expect(page.locator(".live")).to_have_text("Live")


def write(scene: Scene, *lines: LogLine) -> None:
    writing.append(scene.lease.job_id, scene.lease.token, list(lines))


def rail(page: Page) -> list[str]:
    """Return the row of stages as texts: name, duration, status, link."""
    said = """items => items.map((item) => [
        item.dataset.stage,
        item.querySelector("small").textContent,
        item.querySelector(".status .visually-hidden").textContent,
        item.querySelector("a")?.hash ?? "",
    ].join(", "))"""
    return page.locator("#stages li").evaluate_all(said)


# ---------------------------------------------------------------------- stages
def test_new_stages_are_added_to_the_row_and_linked(page, scene, sign_in):
    sign_in(scene.owner)
    open_running(page, scene)
    before = int(page.locator("#log-count").inner_text())
    planning = scene.running.job.logs.count() + 1
    write(scene, line(Stage.PERSISTENT), line(Stage.PERSISTENT, "Planned", LogLevel.WARN))
    write(scene, line(Stage.EPHEMERAL, after=90), line(Stage.EPHEMERAL, "Planned again", after=90))
    expect(page.get_by_text("Planned again")).to_be_visible()
    expect(page.locator("#log-count")).to_have_text(str(before + 2))
    expect(page.locator(f"#stage-{planning} .meta")).to_have_text("1 warning, 1 line, 1m 30s")
    setting_up, parsing, persistent, ephemeral, cleaning_up = rail(page)
    assert persistent == f"{Stage.PERSISTENT}, 1m 30s, Succeeded, #stage-{planning}"
    assert ephemeral == f"{Stage.EPHEMERAL}, running, Running, #stage-{planning + 2}"
    assert re.match(f"{Stage.PARSING}, [0-9m]+ [0-9.ms]+, Succeeded, #stage-3$", parsing), parsing
    assert cleaning_up == f"{Stage.CLEANING_UP}, not started, Not started, "

    page.locator("#stages").get_by_role("link", name=Stage.PERSISTENT).click()
    expect(page.locator(f"#stage-{planning}")).to_be_in_viewport()
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")

    # A second attempt starts with its own stages.
    again = planning + 4
    write(scene, line(Stage.SETTING_UP, after=91), line(Stage.SETTING_UP, "Once more", after=91))
    expect(page.locator(f"#stage-{again}").get_by_text("Once more")).to_be_visible()
    expect(page.locator("#stage-1").get_by_text("Once more")).to_have_count(0)
    first, *_, second, last = rail(page)
    assert first == setting_up
    assert second == f"{Stage.SETTING_UP}, running, Running, #stage-{again}"
    assert last == cleaning_up
    assert len(rail(page)) == 6

    jobs.complete(scene.lease, found())
    expect(page.locator("#version-head").get_by_text("Succeeded", exact=True)).to_be_visible()
    assert len(rail(page)) == 5
    for number in (1, again):
        expect(page.locator(f"#stage-{number} .status")).to_have_class(re.compile("is-succeeded"))
        said = page.locator(f'#stages a[href="#stage-{number}"] small').inner_text()
        expect(page.locator(f"#stage-{number} .meta")).to_have_text(f"1 line, {said}")


# ---------------------------------------------------------------------- reading a running log
def test_reading_and_searching_work_while_lines_arrive(page, scene, sign_in):
    write(scene, line(Stage.PERSISTENT), *(line(Stage.PERSISTENT, f"line {number}") for number in range(300)))
    sign_in(scene.owner)
    open_running(page, scene, "#L12")
    follow = page.get_by_role("button", name="Follow")
    expect(follow).to_have_attribute("aria-pressed", "false")
    write(scene, line(Stage.PERSISTENT, "one more"))
    expect(page.get_by_text("one more")).to_be_attached()
    expect(page.locator("#L12")).to_be_in_viewport()

    search, hits = page.get_by_label("Find in the log"), page.locator("#log-hits")
    search.fill("needle")
    expect(hits).to_have_text("0 matches")
    write(
        scene,
        line(Stage.PERSISTENT, "first needle"),
        line(Stage.PERSISTENT, "a needle in the hay", LogLevel.DEBUG),
        line(Stage.PERSISTENT, "third needle"),
    )
    expect(hits).to_have_text("3 matches")
    current = page.locator(".line.current")
    expect(current).to_have_count(0)
    search.press("Enter")
    expect(current).to_contain_text("first needle")
    expect(current).to_be_in_viewport()
    outlines = page.locator(".line.hit > span").evaluate_all(
        "all => all.map((one) => getComputedStyle(one).outlineStyle)"
    )
    assert outlines == ["solid", "none", "none"]
    search.press("Enter")
    expect(current).to_contain_text("in the hay")
    page.get_by_role("button", name="Debug").click()
    expect(hits).to_have_text("2 matches")
    expect(current).to_contain_text("first needle")
    search.press("Enter")
    expect(current).to_contain_text("third needle")
    search.press("Enter")
    expect(current).to_contain_text("first needle")
    search.press("Shift+Enter")
    expect(current).to_contain_text("third needle")
    search.press("Escape")
    expect(page.locator(".line.hit, .line.current")).to_have_count(0)

    # Phones never show times.
    width = "one => one.lastElementChild.getBoundingClientRect().width"
    page.get_by_role("button", name="Time").click()
    assert page.locator("#L12").evaluate(width) > 600
    page.set_viewport_size(PHONE)
    expect(page.locator("#log-time")).to_be_hidden()
    assert page.locator("#L12").evaluate(width) > 200
    page.set_viewport_size(WIDE)
    page.get_by_role("button", name="Time").click()
    expect(page.locator("#L12 time")).to_be_visible()

    moving = "() => document.getAnimations().filter((one) => one.playState === 'running').length"
    assert page.evaluate(moving) > 0
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(moving) == 0


# ---------------------------------------------------------------------- the connection
def test_log_shows_a_lost_connection_and_can_be_reloaded(page, scene, sign_in, problems):
    sign_in(scene.owner)
    page.route("**/logs?follow*", lambda route: route.fulfill(status=502))  # like a proxy without a server
    page.goto(f"{TEMPLATE}/versions/{scene.running.name}#L2")
    expect(page.locator(".live")).to_have_text("Not connected")
    assert [problem for problem in problems if "502" not in problem] == []
    problems.clear()
    page.unroute("**/logs?follow*")
    page.get_by_role("link", name="Reload the page").click()
    expect(page.locator(".live")).to_have_text("Live")

    # The browser restores pages from its cache with their stream closed.
    page.evaluate("window.isAsItWasLeft = true")
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    with page.expect_navigation():
        page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    assert page.evaluate("window.isAsItWasLeft") is None
    write(scene, line(Stage.PERSISTENT), line(Stage.PERSISTENT, "Hello there"))
    expect(page.get_by_text("Hello there")).to_be_visible()


# ---------------------------------------------------------------------- pending jobs
def test_the_page_of_a_pending_job_shows_its_start(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto(f"/jobs/{scene.waiting.pk}")
    facts = page.locator("#job-facts")
    expect(facts).to_contain_text("1 of 1")
    expect(facts).to_contain_text("Cannot start")
    page.get_by_role("button", name="Copy the job's ID").focus()
    claim(tags=scene.waiting.tags)
    expect(facts).not_to_contain_text("Cannot start", timeout=15_000)
    expect(facts).to_contain_text("Running")
    expect(page.locator("#job-head").get_by_text("Running", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Copy the job's ID")).to_be_focused()
    page.get_by_role("link", name="Cancel the dry run").click()
    expect(page.get_by_role("dialog")).to_contain_text("The daemon interrupts the job")
