"""Emptying the tables after a test, while servers and daemons of the test still write."""

import threading
import time

import psycopg
import pytest
from django.db import OperationalError, connection

from coderproj.identity.models import Organization, User
from tests import emptying
from tests.factories import make_organization, make_user

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def writer():
    """A connection of somebody else, who holds the row of a user."""
    make_organization("acme")
    make_user("ada")
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT id FROM identity_user FOR UPDATE")
        yield other


def test_who_holds_a_row_may_still_write_elsewhere(writer):
    failed: list[OperationalError] = []

    def empty() -> None:
        try:
            emptying.empty()
        except OperationalError as error:
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=empty)
    thread.start()
    time.sleep(0.2)
    assert thread.is_alive()
    writer.execute("UPDATE identity_organization SET description = 'late'")
    writer.commit()
    thread.join(20)
    assert failed == []
    assert not User.objects.exists()
    assert not Organization.objects.exists()


def test_who_never_comes_to_an_end_is_told_of(writer, monkeypatch):
    monkeypatch.setattr(emptying, "SECONDS", 0.1)
    with pytest.raises(OperationalError, match="could not obtain lock"):
        emptying.empty()
    writer.rollback()
