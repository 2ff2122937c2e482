"""Deletes committed rows after every transactional test (see ``conftest``).

Django truncates all tables and recreates content types and permissions. That takes ten times as long as deleting the
few dozen rows of a test.

- Content types and permissions are kept, so Django's cache of them stays valid.
- Foreign keys are checked at the end of the statement or transaction, so the order of the tables does not matter.
- Like a truncation, the table locks wait for uncommitted writers, mostly servers and daemons, so none of their rows
  appear in the next test. The locks are taken all at once or not at all (``NOWAIT``) and retried: waiting for one table
  while holding others could deadlock with a writer that has locked a row.
- Sequences continue, as with Django, so no test may rely on generated numbers.
"""

import time
from functools import cache
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import OperationalError, connection, transaction
from django.test import TransactionTestCase
from psycopg.errors import LockNotAvailable

SECONDS = 30.0  # time for writers to finish
KEPT_TABLES = {Permission._meta.db_table, ContentType._meta.db_table}


@cache
def tables() -> tuple[str, ...]:
    """Return the quoted names of all tables of models except KEPT_TABLES."""
    models = apps.get_models(include_auto_created=True)
    names = {model._meta.db_table for model in models if model._meta.managed and not model._meta.proxy}
    return tuple(connection.ops.quote_name(name) for name in sorted(names - KEPT_TABLES))


@cache
def _statement() -> str:
    deletions = ", ".join(f"deleted_{number} AS (DELETE FROM {name})" for number, name in enumerate(tables()))
    return f"LOCK TABLE {', '.join(tables())} IN EXCLUSIVE MODE NOWAIT; WITH {deletions} SELECT 1"


def delete_all_rows() -> None:
    """Delete the rows of all tables. Call it outside of a transaction. Raises ``django.db.OperationalError`` if another
    connection does not release a table in time."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            with transaction.atomic(durable=True), connection.cursor() as cursor:
                cursor.execute(_statement())
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable) or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


def patch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Django's transactional tests end with ``delete_all_rows``. Tests with ``available_apps`` or
    ``serialized_rollback`` are not supported."""

    def teardown(case: Any) -> None:
        assert case.available_apps is None
        assert not case.serialized_rollback
        delete_all_rows()

    monkeypatch.setattr(TransactionTestCase, "_fixture_teardown", teardown)
