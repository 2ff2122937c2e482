"""Keep-alives and the detection of stalled clients."""

import asyncio

import httpx
import pytest

from provisioning.log.following import transports
from provisioning.log.following.hub import Follower
from provisioning.log.following.transports import Progress


@pytest.fixture
def short_intervals(monkeypatch) -> None:
    monkeypatch.setattr(transports, "KEEP_ALIVE", 0.02)
    monkeypatch.setattr(transports, "STALL", 0.06)


@pytest.mark.usefixtures("short_intervals")
@pytest.mark.parametrize(
    ("accept", "sign"), [("text/event-stream", ": still here\n\n: still here"), ("application/json", "[  ")]
)
def test_a_quiet_stream_sends_keep_alives(followed, accept, sign):
    with httpx.stream("GET", f"{followed.url}?follow", headers={**followed.headers, "Accept": accept}) as answer:
        received = ""
        for text in answer.iter_text():
            received += text
            if sign in received:
                followed.write("one")
                followed.complete()
                sign = "never"
    assert received.count('"output":"one"') == 1


@pytest.mark.usefixtures("short_intervals")
def test_a_client_that_reads_nothing_is_disconnected():
    progress = Progress()
    assert progress.is_sending
    asyncio.run(asyncio.wait_for(progress.stalls(Follower()), 5))


@pytest.mark.usefixtures("short_intervals")
def test_a_slow_client_is_not_disconnected():
    async def read_slowly() -> bool:
        progress = Progress()
        watching = asyncio.create_task(progress.stalls(Follower()))
        for _ in range(20):
            progress.steps += 1
            await asyncio.sleep(0.01)
        return watching.cancel()

    assert asyncio.run(read_slowly()), "the client was disconnected"


@pytest.mark.usefixtures("short_intervals")
def test_a_waiting_follower_is_nudged_and_not_disconnected():
    async def wait() -> bool:
        follower, progress = Follower(), Progress(is_sending=False)
        watching = asyncio.create_task(progress.stalls(follower))
        for _ in range(8):
            await asyncio.wait_for(follower.event.wait(), 5)
            follower.event.clear()
        return watching.cancel()

    assert asyncio.run(wait()), "the client was disconnected"
