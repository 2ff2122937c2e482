"""Deletes committed rows after every transactional test (see ``conftest``).

Django truncates all tables and recreates content types and permissions. That takes ten times as long as deleting the
few dozen rows of a test.

- Content types and permissions are kept, so Django's cache of them stays valid.
- Foreign keys are checked at the end of the statement or transaction, so the order of the tables does not matter.
- Like a truncation, the table locks wait for uncommitted writers, mostly servers and daemons, so none of their rows
  appear in the next test. The locks are taken all at once or not at all (``NOWAIT``) and retried: waiting for one table
  while holding others could deadlock with a writer that has locked a row.
- Sequences continue, as with Django, so no test may rely on generated numbers.
- ``kept_rows`` keeps the rows that a fixture of a wider scope needs, such as the key of a daemon for a whole module.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import OperationalError, connection, models, transaction
from django.test import TransactionTestCase
from psycopg.errors import LockNotAvailable

SECONDS = 30.0  # time for writers to finish
KEPT_TABLES = {Permission._meta.db_table, ContentType._meta.db_table}
_kept_rows: list[models.Model] = []


@cache
def tables() -> tuple[str, ...]:
    """Return the quoted names of all tables of models except KEPT_TABLES."""
    models = apps.get_models(include_auto_created=True)
    names = {model._meta.db_table for model in models if model._meta.managed and not model._meta.proxy}
    return tuple(connection.ops.quote_name(name) for name in sorted(names - KEPT_TABLES))


@contextmanager
def kept_rows(*rows: models.Model) -> Iterator[None]:
    """Keep these rows, whose keys are ``id``, until the end of the block. Also name the rows that they refer to."""
    _kept_rows.extend(rows)
    try:
        yield
    finally:
        for row in rows:
            _kept_rows.remove(row)


@cache
def _statement(*kept: tuple[str, str]) -> str:
    """Return the statement that deletes all rows but ``kept``: pairs of a quoted table and a quoted ID."""
    conditions: dict[str, str] = {}
    for name, value in kept:
        conditions[name] = f"{conditions.get(name, ' WHERE true')} AND id <> {value}"
    deletions = ", ".join(
        f"deleted_{number} AS (DELETE FROM {name}{conditions.get(name, '')})" for number, name in enumerate(tables())
    )
    return f"LOCK TABLE {', '.join(tables())} IN EXCLUSIVE MODE NOWAIT; WITH {deletions} SELECT 1"


def delete_all_rows() -> None:
    """Delete the rows of all tables. Call it outside of a transaction. Raises ``django.db.OperationalError`` if another
    connection does not release a table in time."""
    kept = sorted((connection.ops.quote_name(row._meta.db_table), f"'{row.pk}'") for row in _kept_rows)
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            with transaction.atomic(durable=True), connection.cursor() as cursor:
                cursor.execute(_statement(*kept))
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
