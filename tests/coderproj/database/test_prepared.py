"""Prepared statements return the same rows as cursors, in every state of the connection."""

import json
import uuid
from contextlib import nullcontext
from datetime import UTC, datetime

import psycopg
import pytest
from django.db import DataError, OperationalError, ProgrammingError, connection, transaction
from django.db.models import TextChoices
from psycopg.types.numeric import Int4

from coderproj.database import prepared
from coderproj.database.prepared import Prepared, PreparedCommand, as_text

EXAMPLE = uuid.UUID(int=7)
VALUES = ("ä%", 2**40, True, EXAMPLE, [EXAMPLE], datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC))
SQL = "SELECT %s::text || '%%', %s, %s, %s, %s, %s, NULL"
ROW = ("ä%%".encode(), 2**40, True, EXAMPLE, b"{%s}" % str(EXAMPLE).encode(), b"2026-01-02 03:04:05.678901+00", None)


def row_of(statement: Prepared, *values: object) -> tuple[object, ...] | None:
    return statement.first_row([as_text(value) for value in values])


@pytest.mark.django_db(transaction=True)
def test_rows_are_returned_in_every_state_of_the_connection(django_assert_num_queries):
    statement = Prepared(SQL, VALUES)
    connection.close()
    assert row_of(statement, *VALUES) == ROW
    assert connection.connection is None  # the statement borrowed one
    connection.ensure_connection()
    for _ in range(3):
        assert row_of(statement, *VALUES) == ROW
    with django_assert_num_queries(1):  # the queries are logged
        assert row_of(statement, *VALUES) == ROW
    with transaction.atomic():
        assert row_of(statement, *VALUES) == ROW  # begins the transaction
        assert row_of(statement, *VALUES) == ROW


@pytest.mark.django_db(transaction=True)
def test_a_dropped_statement_is_re_prepared():
    statement = Prepared("SELECT %s", [1])
    connection.ensure_connection()
    assert row_of(statement, 1) == (1,)
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    assert row_of(statement, 2) == (2,)
    with transaction.atomic():
        row_of(statement, 1)
        transaction.set_rollback(True)  # psycopg drops all prepared statements
    assert row_of(statement, 3) == (3,)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("fresh", "uses"), [(600.0, 7), (0.0, 1)])
def test_statements_are_re_prepared_after_a_while(monkeypatch, fresh, uses):
    """PostgreSQL chooses between a generic and a custom plan by the number of uses since the statement was prepared."""
    monkeypatch.setattr(prepared, "FRESH", fresh)
    statement = Prepared(f"SELECT %s AS after_{uses}", [1])
    connection.ensure_connection()
    for number in range(7):
        assert row_of(statement, number) == (number,)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT custom_plans + generic_plans FROM pg_prepared_statements"
            " WHERE statement LIKE %s AND name LIKE 'prepared%%'",
            [f"%AS after_{uses}"],
        )
        assert cursor.fetchall() == [(uses,)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fresh", [600.0, 0.0])
def test_a_statement_with_changed_columns_is_re_prepared(monkeypatch, fresh):
    monkeypatch.setattr(prepared, "FRESH", fresh)
    statement = Prepared("SELECT * FROM (SELECT * FROM pets) pets", [])
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE pets AS SELECT 1 AS age")
        assert row_of(statement) == (1,)
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE pets ALTER age TYPE text")
        assert row_of(statement) == (b"1",)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE pets")


@pytest.mark.django_db(transaction=True)
def test_errors_are_those_of_django():
    with pytest.raises(ProgrammingError):
        row_of(Prepared("SELECT nothing FROM nowhere", []))
    with pytest.raises(DataError):
        row_of(Prepared("SELECT 1 / %s", [1]), 0)
    assert row_of(Prepared("SELECT 1 WHERE false", [])) is None
    assert row_of(Prepared("SELECT 1", [])) == (1,)


def test_values_that_cannot_be_encoded():
    with pytest.raises(DataError):
        as_text("a\0b")
    with pytest.raises(DataError):
        as_text(["a\0b"])
    with pytest.raises(TypeError):
        as_text({})


# ---------------------------------------------------------------------- commands
TEXTS = ["plain", 'quo"ted', "back\\slash", "a,b {c}", "", "NULL", "ä"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("in_transaction", [False, True])
def test_commands_take_named_parameters_of_the_types_in_their_sql(in_transaction):
    command = PreparedCommand(
        "SELECT array_to_json(%(texts)s::text[]), %(seconds)s::float * 2, %(missing)s::uuid, %(seconds)s::float::int"
    )
    with transaction.atomic() if in_transaction else nullcontext():
        for _ in range(3):
            texts, twice, missing, whole = command.row(texts=TEXTS, seconds=1e-3, missing=None)
    assert (json.loads(texts), twice, missing, whole) == (TEXTS, b"0.002", None, 0)
    with pytest.raises(KeyError):
        command.row(texts=TEXTS)


@pytest.mark.django_db(transaction=True)
def test_a_lost_connection_is_an_operational_error():
    connection.ensure_connection()
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
    with pytest.raises(OperationalError):
        row_of(Prepared("SELECT 1", []))
    connection.close()
    assert row_of(Prepared("SELECT 1", [])) == (1,)


class Colour(TextChoices):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Colour.RED, b"red"),
        (Int4(7), b"7"),
        (True, b"true"),
        (uuid.UUID(int=10), b"0" * 31 + b"a"),
        ([uuid.UUID(int=10)], b"{" + b"0" * 31 + b"a}"),
        ([Colour.RED, 'a"b'], rb'{"red","a\"b"}'),
        (None, None),
    ],
)
def test_values_of_derived_classes_are_encoded_like_their_base_class(value, text):
    assert as_text(value) == text
    assert as_text(value) == text
