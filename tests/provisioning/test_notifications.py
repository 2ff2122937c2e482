"""Listeners hear of what was committed, and of nothing else."""

import logging
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from provisioning.daemon.direct import listen
from provisioning.engine.base import PlanResult
from provisioning.models import ProvisionerDaemon
from provisioning.notifications import END_MARK, LOG_CHANNEL, notify
from provisioning.queue import jobs
from tests.factories import claim, make_job


@pytest.fixture
def listener(transactional_db) -> Iterator[psycopg.Connection[Any]]:
    listening = listen("news_test")
    yield listening
    listening.close()


def heard(listener: psycopg.Connection[Any], timeout: float = 0.5) -> list[str]:
    return [news.payload for news in listener.notifies(timeout=timeout, stop_after=2)]


def test_news_of_a_transaction_come_after_its_commit(listener):
    with transaction.atomic():
        notify(("news_test", "one"), ("other", "unheard"), ("news_test", "two"))
        assert heard(listener, 0.2) == []
    assert heard(listener) == ["one", "two"]


def test_outside_of_a_transaction_they_come_at_once(listener):
    notify(("news_test", "now"))
    assert heard(listener) == ["now"]


def test_what_was_rolled_back_is_not_told(listener):
    with transaction.atomic():
        notify(("news_test", "never"))
        transaction.set_rollback(True)
    assert heard(listener, 0.2) == []


def test_a_connection_lost_behind_the_commit_does_not_undo_what_was_done(listener, caplog):
    """The caller must not do it again: it is done."""

    def drop() -> None:
        with psycopg.connect(
            **connection.get_connection_params() | {"dbname": connection.settings_dict["NAME"]}
        ) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])

    with caplog.at_level(logging.ERROR, "provisioning.notifications"), transaction.atomic():
        ProvisionerDaemon.objects.create(name="kept", last_seen_at="2026-01-01T00:00:00Z", provisioners=["echo"])
        transaction.on_commit(drop)
        notify(("news_test", "lost"))
    connection.close()
    assert ProvisionerDaemon.objects.filter(name="kept").exists()
    assert heard(listener, 0.2) == []
    assert "Could not notify the listeners" in caplog.text


def test_an_end_that_is_told_again_tells_the_listeners_again(transactional_db):
    """Who ended it may have died between the commit and the news."""
    job = make_job()
    lease = claim()
    listening = listen(LOG_CHANNEL)
    try:
        for _ in range(2):
            jobs.complete(lease, PlanResult())
        assert heard(listening) == [f"{job.pk}{END_MARK}"] * 2
    finally:
        listening.close()
