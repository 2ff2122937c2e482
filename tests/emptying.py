"""Removing what a test has committed. ``conftest`` has it done after every transactional test.

Django truncates all tables then, and makes content types and permissions anew: ten times the work of deleting the few
dozen rows that a test has left.

- Content types and permissions stay as the migrations have made them, so what Django remembers of them stays true.
- Foreign keys are checked when the statement or the transaction ends, so the order of the tables is of no account.
- Like a truncation, the locks wait for writers that have not committed, of servers and daemons above all: none of their
  rows come to light in the next test. They are had all at once or not at all, and tried again: who has locked a row and
  is about to write to another table would wait for us, and we for them.
- Sequences go on, as they do with Django: no test may rely on numbers that the database gives.
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

SECONDS = 30.0  # for those who write to come to their end
KEPT = {Permission._meta.db_table, ContentType._meta.db_table}


@cache
def tables() -> tuple[str, ...]:
    """The quoted names of all tables of models, without those that are kept."""
    models = apps.get_models(include_auto_created=True)
    names = {model._meta.db_table for model in models if model._meta.managed and not model._meta.proxy}
    return tuple(connection.ops.quote_name(name) for name in sorted(names - KEPT))


@cache
def _statement() -> str:
    deletions = ", ".join(f"gone_{number} AS (DELETE FROM {name})" for number, name in enumerate(tables()))
    return f"LOCK TABLE {', '.join(tables())} IN EXCLUSIVE MODE NOWAIT; WITH {deletions} SELECT 1"


def empty() -> None:
    """Delete the rows of all tables, of whichever connection they come; must not be called in a transaction. Raises
    ``django.db.OperationalError`` when somebody does not let go of a table in time."""
    give_up = time.monotonic() + SECONDS
    while True:
        try:
            with transaction.atomic(durable=True), connection.cursor() as cursor:
                cursor.execute(_statement())
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable) or time.monotonic() > give_up:
                raise
            time.sleep(0.005)
        else:
            return


def patch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Django's transactional tests end with ``empty``; sets of tables or databases of their own are not for it."""

    def teardown(case: Any) -> None:
        assert case.available_apps is None
        assert not case.serialized_rollback
        empty()

    monkeypatch.setattr(TransactionTestCase, "_fixture_teardown", teardown)
