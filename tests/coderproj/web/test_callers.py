"""The shares of callers in the server's threads."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from coderproj.web.callers import Slots, TooManyWaiting


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_a_caller_gets_its_share_and_others_get_the_rest():
    async def test() -> None:
        slots = Slots(4, 2, waiting=8)
        assert [slots.acquire("one") is None for _ in range(3)] == [True, True, False]
        assert [slots.acquire("two") is None for _ in range(3)] == [True, True, False]

    run(test)


def test_waiting_callers_take_turns():
    async def test() -> None:
        slots = Slots(1, 1, waiting=8)
        assert slots.acquire("one") is None
        turns = {name: slots.acquire(name[0]) for name in ("a1", "a2", "a3", "b1", "c1")}
        order = []
        for _ in turns:
            running = "one" if not order else order[-1][0]
            slots.release(running)
            await asyncio.sleep(0)
            order.append(next(name for name, turn in turns.items() if turn.done() and name not in order))
        assert order == ["a1", "b1", "c1", "a2", "a3"]

    run(test)


def test_a_free_slot_is_for_callers_below_their_share():
    async def test() -> None:
        slots = Slots(3, 2, waiting=8)
        for _ in range(2):
            assert slots.acquire("one") is None
        third = slots.acquire("one")
        assert slots.acquire("two") is None
        slots.release("two")
        await asyncio.sleep(0)
        assert not third.done()  # a slot is free, but not for this caller
        slots.release("one")
        await asyncio.sleep(0)
        assert third.done()

    run(test)


def test_a_request_that_leaves_loses_its_turn():
    async def test() -> None:
        slots = Slots(1, 1, waiting=8)
        assert slots.acquire("one") is None
        gone, next_one = slots.acquire("two"), slots.acquire("three")
        slots.leave("two", gone)
        slots.release("one")
        await asyncio.sleep(0)
        assert next_one.done()
        slots.release("three")
        assert slots.acquire("four") is None

    run(test)


def test_a_caller_cannot_wait_without_bound():
    async def test() -> None:
        slots = Slots(1, 1, waiting=2)
        assert slots.acquire("one") is None
        for _ in range(2):
            slots.acquire("one")
        with pytest.raises(TooManyWaiting):
            slots.acquire("one")
        assert slots.acquire("two") is not None

    run(test)


def test_a_request_that_leaves_makes_room_for_others():
    async def test() -> None:
        slots = Slots(1, 1, waiting=2)
        assert slots.acquire("one") is None
        for _ in range(5):
            slots.leave("one", slots.acquire("one"))
        granted = slots.acquire("two")
        slots.release("one")
        slots.leave("two", granted)  # it was granted meanwhile
        assert slots.acquire("three") is None

    run(test)
