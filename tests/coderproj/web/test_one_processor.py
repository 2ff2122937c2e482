"""The web process on one processor."""

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from coderproj.web import one_processor
from coderproj.web.one_processor import anywhere, best_processor, busy_seconds, on_one_processor

needs_two = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="this process may use one processor only")
STAT = "cpu  0 0 0 0 0 0 0 0 0 0\n{lines}intr 12 0 3\n"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def places() -> set[int]:
    """The processors that this thread may use."""
    return os.sched_getaffinity(0)


@needs_two
def test_all_threads_run_on_one_processor_and_are_free_again_afterwards() -> None:
    done = threading.Event()
    before = places()
    old = threading.Thread(target=done.wait)
    old.start()
    with on_one_processor():
        until(lambda: len(places()) == 1 and os.sched_getaffinity(old.native_id or 0) == places())
        new = threading.Thread(target=done.wait)
        new.start()
        assert os.sched_getaffinity(new.native_id or 0) == places() < before
    assert places() == os.sched_getaffinity(old.native_id or 0) == before
    done.set()
    old.join()
    new.join()


class Statistics:
    """What the system is said to tell."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "stat"
        self.worked = dict.fromkeys(os.sched_getaffinity(0), 0)
        self.write()

    def write(self) -> None:
        lines = "".join(f"cpu{number} {ticks} 0 0 0 0 0 0 0 0 0\n" for number, ticks in self.worked.items())
        self.path.with_suffix(".new").write_text(STAT.format(lines=lines))
        self.path.with_suffix(".new").rename(self.path)


@pytest.fixture
def statistics(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Statistics:
    told = Statistics(tmp_path)
    monkeypatch.setattr(one_processor, "STATISTICS", told.path)
    monkeypatch.setattr(one_processor, "INTERVAL", 0.05)
    return told


@needs_two
def test_it_moves_to_where_others_do_less(statistics: Statistics) -> None:
    with on_one_processor():
        until(lambda: len(places()) == 1)
        (first,) = places()

        def moved() -> bool:
            statistics.worked[first] += 1000  # somebody else works there
            statistics.write()
            return first not in places()

        until(moved)
        assert len(places()) == 1


@needs_two
@pytest.mark.parametrize("broken", ["", "cpu0 nonsense\n"])
def test_it_is_free_again_when_the_system_no_longer_tells(
    statistics: Statistics, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    before = places()
    with on_one_processor():
        until(lambda: len(places()) == 1)
        if broken:
            statistics.path.write_text(broken)
        else:
            statistics.path.unlink()
        until(lambda: places() == before)
    (message,) = caplog.messages
    assert message.startswith("the web server does not keep to one processor: ")


@needs_two
def test_it_is_free_again_when_it_may_no_longer_use_its_processor(
    statistics: Statistics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before, set_affinity = places(), os.sched_setaffinity

    def refuse_one(thread: int, processors: set[int]) -> None:
        if len(processors) == 1:
            raise OSError(22, "not this one")
        set_affinity(thread, processors)

    with on_one_processor():
        until(lambda: len(places()) == 1)
        monkeypatch.setattr(os, "sched_setaffinity", refuse_one)
        until(lambda: places() == before)
    assert caplog.messages == ["the web server does not keep to one processor: [Errno 22] not this one"]


@needs_two
def test_a_system_that_tells_of_other_processors_only_changes_nothing(
    statistics: Statistics, caplog: pytest.LogCaptureFixture
) -> None:
    statistics.worked.popitem()
    statistics.write()
    before = places()
    with on_one_processor():
        until(lambda: bool(caplog.messages))
        assert places() == before


@needs_two
def test_a_thread_may_leave_for_long_work() -> None:
    before = places()
    with anywhere():
        assert places() == before  # nothing to leave
    with on_one_processor():
        until(lambda: len(places()) == 1)
        (one,) = places()
        with anywhere():
            assert places() == before
        assert places() == {one}


@pytest.mark.parametrize("refused", [PermissionError(1, "no"), OSError(22, "not these")])
def test_a_system_that_does_not_let_it_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, refused: OSError
) -> None:
    def refuse(thread: int, processors: object) -> None:
        raise refused

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    monkeypatch.setattr(one_processor, "busy_seconds", lambda: {0: 0.0, 1: 0.0})
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: {0, 1})
    with on_one_processor():
        until(lambda: bool(caplog.messages))
    assert caplog.messages == [f"the web server does not keep to one processor: {refused}"]


def test_processes_that_met_on_one_processor_part() -> None:
    """Two of them, busy all the time, on two processors, that look at nearly the same moment."""
    for attempt in range(50):
        chance = random.Random(attempt)
        at = [0, 0]
        for _ in range(60):
            together = at[0] == at[1]
            if not together:
                break
            used = {at[0]: 5.0, 1 - at[0]: 0.0}
            moves = [best_processor(place, used, 2.5, 5.0) for place in at]
            assert moves == [1 - at[0]] * 2
            at = [
                move if chance.random() < one_processor.CHANCE else place for move, place in zip(moves, at, strict=True)
            ]
        assert at[0] != at[1]


@pytest.mark.parametrize(
    ("current", "worked", "own", "expected"),
    [
        (0, {0: 0.0, 1: 0.0}, 0.0, 0),
        (0, {0: 1.0, 1: 0.0}, 0.0, 0),  # not worth it
        (0, {0: 1.3, 1: 0.0}, 0.0, 1),
        (0, {0: 4.9, 1: 0.0}, 4.8, 0),  # it is we who work there
        (1, {0: 0.0, 1: 4.9}, 3.0, 0),
        (0, {0: 4.9, 1: 4.8, 2: 1.0}, 0.0, 2),
        (2, {0: 5.0, 1: 5.0, 2: 5.0}, 0.5, 2),
        (3, {0: 5.0, 1: 2.0}, 0.5, 1),  # there is no such processor any more
    ],
)
def test_it_moves_when_that_is_worth_the_cold_caches(
    current: int, worked: dict[int, float], own: float, expected: int
) -> None:
    assert best_processor(current, worked, own, 5.0) == expected


def test_what_a_processor_has_worked_is_read_without_what_it_waited(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    statistics = tmp_path / "stat"
    statistics.write_text(STAT.format(lines="cpu0 100 20 30 7000 900 4 5 6 0 0\ncpu11 1 0 0 5 0 0 0 0 0 0\n"))
    monkeypatch.setattr(one_processor, "STATISTICS", statistics)
    monkeypatch.setattr(one_processor, "TICKS", 100)
    assert busy_seconds() == {0: 1.65, 11: 0.01}


def test_this_system_tells_what_each_processor_has_worked() -> None:
    assert os.sched_getaffinity(0) <= busy_seconds().keys()
