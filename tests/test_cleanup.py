"""Deletion of all rows after a test, while servers and daemons of the test still write."""

import threading
import time

import psycopg
import pytest
from django.db import OperationalError, connection

from coderproj.identity.models import Organization, User
from tests import cleanup
from tests.factories import make_organization, make_user

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def writer():
    """Another connection, which holds a lock on the row of a user."""
    make_organization("acme")
    make_user("ada")
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT id FROM identity_user FOR UPDATE")
        yield other


def test_writer_with_a_locked_row_can_write_to_other_tables(writer):
    failed: list[OperationalError] = []

    def delete() -> None:
        try:
            cleanup.delete_all_rows()
        except OperationalError as error:
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=delete)
    thread.start()
    time.sleep(0.2)
    assert thread.is_alive()
    writer.execute("UPDATE identity_organization SET description = 'late'")
    writer.commit()
    thread.join(20)
    assert failed == []
    assert not User.objects.exists()
    assert not Organization.objects.exists()


def test_writer_that_never_finishes_is_an_error(writer, monkeypatch):
    monkeypatch.setattr(cleanup, "SECONDS", 0.1)
    with pytest.raises(OperationalError, match="could not obtain lock"):
        cleanup.delete_all_rows()
    writer.rollback()


def test_kept_rows_stay_until_the_end_of_their_block():
    organization, ada = make_organization("acme"), make_user("ada")
    make_user("eve", organizations=(organization,))
    bob = make_user("bob")
    with cleanup.kept_rows(ada, bob):
        cleanup.delete_all_rows()
        assert {user.username for user in User.objects.all()} == {"ada", "bob"}
        assert not Organization.objects.exists()
    with cleanup.kept_rows(bob):
        cleanup.delete_all_rows()
        assert [user.username for user in User.objects.all()] == ["bob"]
    cleanup.delete_all_rows()
    assert not User.objects.exists()
