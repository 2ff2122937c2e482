"""Batches of encoded lines."""

import json
from datetime import UTC, datetime

import pytest

from provisioning.log.following.batches import Batch

TIMES = ["12:00:00", "12:00:00.2", "12:00:00.25", "12:00:00.3", "12:00:01"]
LINES = [f'{{"id":{n},"created_at":"2026-01-31T{time}Z","output":"Z\\""}}'.encode() for n, time in enumerate(TIMES, 1)]


@pytest.mark.parametrize(
    ("after", "ids"),
    [
        ("11:59:59.999999", [1, 2, 3, 4, 5]),
        ("12:00:00", [2, 3, 4, 5]),
        ("12:00:00.1", [2, 3, 4, 5]),
        ("12:00:00.24", [3, 4, 5]),
        ("12:00:00.25", [4, 5]),
        ("12:00:00.9", [5]),
    ],
)
def test_lines_later_than_a_time(after: str, ids: list[int]):
    later = Batch([1, 2, 3, 4, 5], LINES).later_than(datetime.fromisoformat(f"2026-01-31T{after}Z"))
    assert later is not None
    assert later.ids == ids
    assert [json.loads(line)["id"] for line in later.lines] == ids


def test_no_line_is_later_than_the_last():
    assert Batch([1, 2, 3, 4, 5], LINES).later_than(datetime(2026, 1, 31, 12, 0, 1, tzinfo=UTC)) is None
