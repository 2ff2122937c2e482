"""The web process on one processor."""

import os
import threading
import time
from pathlib import Path

import pytest

from coderproj import one_processor
from coderproj.one_processor import best_processor, busy_seconds, on_one_processor

needs_two = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="this process may use one processor only")
STAT = "cpu  0 0 0 0 0 0 0 0 0 0\n{lines}intr 12 0 3\n"


@needs_two
def test_all_threads_run_on_one_processor_and_are_free_again_afterwards() -> None:
    done = threading.Event()
    places: dict[str, set[int]] = {}

    def wait() -> None:
        done.wait(20)

    before = os.sched_getaffinity(0)
    old = threading.Thread(target=wait)
    old.start()
    with on_one_processor():
        new = threading.Thread(target=wait)
        new.start()
        for name, thread in (("old", old), ("new", new)):
            places[name] = os.sched_getaffinity(thread.native_id or 0)
        places["own"] = os.sched_getaffinity(0)
    assert len(places["own"]) == 1
    assert places["old"] == places["new"] == places["own"]
    assert places["own"] < before
    assert os.sched_getaffinity(0) == os.sched_getaffinity(old.native_id or 0) == before
    done.set()
    old.join()
    new.join()


@needs_two
def test_it_moves_to_where_others_do_less(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    statistics = tmp_path / "stat"
    worked = dict.fromkeys(allowed, 0)

    def tell() -> None:
        lines = "".join(f"cpu{number} {ticks} 0 0 0 0 0 0 0 0 0\n" for number, ticks in worked.items())
        statistics.with_suffix(".new").write_text(STAT.format(lines=lines))
        statistics.with_suffix(".new").rename(statistics)

    tell()
    monkeypatch.setattr(one_processor, "STATISTICS", statistics)
    monkeypatch.setattr(one_processor, "INTERVAL", 0.05)
    with on_one_processor():
        (first,) = os.sched_getaffinity(0)
        deadline = time.monotonic() + 20
        while (places := os.sched_getaffinity(0)) == {first} and time.monotonic() < deadline:
            worked[first] += 1000  # somebody else works there
            tell()
            time.sleep(0.02)
        assert first not in places
        assert len(places) == 1


@pytest.mark.parametrize("refused", [PermissionError(1, "no"), OSError(22, "not these")])
def test_a_system_that_does_not_let_it_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, refused: OSError
) -> None:
    def refuse(thread: int, processors: object) -> None:
        raise refused

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: {0, 1})
    with on_one_processor():
        pass
    assert caplog.messages == [f"the web server does not keep to one processor: {refused}"]


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
