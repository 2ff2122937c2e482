"""Listeners receive the notifications of committed transactions, and no others."""

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
    listening = listen("notifications_test")
    yield listening
    listening.close()


def received(listener: psycopg.Connection[Any], timeout: float = 0.5) -> list[str]:
    return [notification.payload for notification in listener.notifies(timeout=timeout, stop_after=2)]


def test_notifications_of_a_transaction_arrive_after_its_commit(listener):
    with transaction.atomic():
        notify(("notifications_test", "one"), ("other", "not listened to"), ("notifications_test", "two"))
        assert received(listener, 0.2) == []
    assert received(listener) == ["one", "two"]


def test_notifications_outside_a_transaction_arrive_at_once(listener):
    notify(("notifications_test", "now"))
    assert received(listener) == ["now"]


def test_a_rollback_sends_no_notifications(listener):
    with transaction.atomic():
        notify(("notifications_test", "never"))
        transaction.set_rollback(True)
    assert received(listener, 0.2) == []


def test_a_connection_lost_after_the_commit_does_not_raise(listener, caplog):
    """The caller must not repeat its committed work."""

    def drop() -> None:
        with psycopg.connect(
            **connection.get_connection_params() | {"dbname": connection.settings_dict["NAME"]}
        ) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])

    with caplog.at_level(logging.ERROR, "provisioning.notifications"), transaction.atomic():
        ProvisionerDaemon.objects.create(name="kept", last_seen_at="2026-01-01T00:00:00Z", provisioners=["echo"])
        transaction.on_commit(drop)
        notify(("notifications_test", "lost"))
    connection.close()
    assert ProvisionerDaemon.objects.filter(name="kept").exists()
    assert received(listener, 0.2) == []
    assert "Could not notify the listeners" in caplog.text


def test_a_repeated_completion_notifies_again(transactional_db):
    """The first caller may have died between the commit and the notification."""
    job = make_job()
    lease = claim()
    listening = listen(LOG_CHANNEL)
    try:
        for _ in range(2):
            jobs.complete(lease, PlanResult())
        assert received(listening) == [f"{job.pk}{END_MARK}"] * 2
    finally:
        listening.close()
