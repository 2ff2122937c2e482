"""Pauses between attempts."""

import asyncio
import time

import pytest

from coderproj.base.backoff import Backoff


@pytest.mark.parametrize(
    ("backoff", "pauses"),
    [
        (Backoff(0.05, 2.0, jitter=0), [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]),
        (Backoff(0.2, 1.0, factor=5, jitter=0), [0.2, 1.0, 1.0]),
        (Backoff(3.0, 2.0, jitter=0), [2.0, 2.0]),
    ],
)
def test_pauses_grow_up_to_the_limit(backoff, pauses):
    assert [backoff.fail() for _ in pauses] == pytest.approx(pauses)


def test_pauses_start_again_after_a_success():
    backoff = Backoff(0.1, 2.0, jitter=0)
    assert backoff.full_pause == 0
    backoff.fail()
    backoff.fail()
    assert (backoff.failures, backoff.full_pause) == (2, 0.2)
    backoff.reset()
    assert (backoff.failures, backoff.full_pause) == (0, 0)
    assert backoff.fail() == pytest.approx(0.1)


def test_many_failures_do_not_overflow():
    backoff = Backoff(0.1, 2.0, jitter=0, failures=1_000_000)
    assert backoff.fail() == 2.0


def test_jitter_shortens_pauses_by_at_most_its_share():
    pauses = [Backoff(1.0, 1.0, jitter=0.25).fail() for _ in range(200)]
    assert 0.75 <= min(pauses) < max(pauses) <= 1.0
    assert max(pauses) - min(pauses) > 0.1


def test_threads_and_tasks_pause_that_long():
    backoff = Backoff(0.03, 1.0, jitter=0)
    began = time.monotonic()
    backoff.sleep()
    asyncio.run(backoff.wait())
    assert time.monotonic() - began >= 0.085
    assert backoff.failures == 2
