"""What happens on a stream while nothing happens."""

import asyncio

import httpx
import pytest

from provisioning.log.following import carriers
from provisioning.log.following.carriers import Progress
from provisioning.log.following.hub import Follower


@pytest.fixture
def quickly(monkeypatch) -> None:
    monkeypatch.setattr(carriers, "KEEP_ALIVE", 0.02)
    monkeypatch.setattr(carriers, "STALL", 0.06)


@pytest.mark.usefixtures("quickly")
@pytest.mark.parametrize(
    ("accept", "sign"), [("text/event-stream", ": still here\n\n: still here"), ("application/json", "[  ")]
)
def test_a_quiet_stream_shows_that_it_lives(followed, accept, sign):
    with httpx.stream("GET", f"{followed.url}?follow", headers={**followed.headers, "Accept": accept}) as answer:
        told = ""
        for text in answer.iter_text():
            told += text
            if sign in told:
                followed.write("one")
                followed.complete()
                sign = "never"
    assert told.count('"output":"one"') == 1


@pytest.mark.usefixtures("quickly")
def test_a_client_that_takes_nothing_is_given_up():
    progress = Progress()
    assert progress.is_sending
    asyncio.run(asyncio.wait_for(progress.stalls(Follower()), 5))


@pytest.mark.usefixtures("quickly")
def test_one_that_takes_something_now_and_then_is_not():
    async def take_slowly() -> bool:
        progress = Progress()
        watching = asyncio.create_task(progress.stalls(Follower()))
        for _ in range(20):
            progress.steps += 1
            await asyncio.sleep(0.01)
        return watching.cancel()

    assert asyncio.run(take_slowly()), "it was given up"


@pytest.mark.usefixtures("quickly")
def test_a_follower_that_waits_is_woken_and_never_given_up():
    async def wait() -> bool:
        follower, progress = Follower(), Progress(is_sending=False)
        watching = asyncio.create_task(progress.stalls(follower))
        for _ in range(8):
            await asyncio.wait_for(follower.event.wait(), 5)
            follower.event.clear()
        return watching.cancel()

    assert asyncio.run(wait()), "it was given up"
