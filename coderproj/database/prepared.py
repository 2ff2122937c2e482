"""Prepared statements with little overhead.

A read of the API is one statement, and its only row is the body of the response. A step of a job is one statement that
changes one row. Django's and psycopg's cursors often take longer to send such a statement than PostgreSQL takes to run
it. This module calls libpq with encoded parameters and returns bytes.
"""

import binascii
import re
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.db import DEFAULT_DB_ALIAS, DataError, connection, connections
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, TransactionStatus
from psycopg.types.numeric import Int4

# By the type's oid.
TO_PYTHON: dict[int, Callable[[bytes], Any]] = {
    16: lambda text: text == b"t",
    17: lambda text: binascii.unhexlify(memoryview(text)[2:]),  # hexadecimal after \\x
    20: int,
    21: int,
    23: int,
    2950: lambda text: uuid.UUID(text.decode()),
}
# The SQLSTATEs of a statement that no longer exists (psycopg drops all of them after a rollback), and of one whose
# columns a migration has changed.
OUTDATED = (b"26000", b"0A000")
PLACEHOLDER = re.compile(r"%(s|%)")
NAME = re.compile(r"%\((\w+)\)s")

Row = tuple[Any, ...]
# The name of a method of psycopg's ``PGconn``, and its arguments.
Command = tuple[str, tuple[Any, ...]]
# Seconds after which a statement is re-prepared. PostgreSQL chooses between a generic plan and planning every time by
# the costs of the first uses. If tables have grown since, it plans at every use, which takes longer than the statement.
FRESH = 600.0
# By connection of the pool: its prepared statements, and when to re-prepare them.
_prepared: WeakKeyDictionary[Any, dict[bytes, float]] = WeakKeyDictionary()


class Prepared:
    """A statement with ``%s`` for parameters. ``examples`` are values of the parameters' types.

    Returns booleans, bytes, integers and UUIDs as Python values, all other columns (mostly text) as PostgreSQL's bytes.
    """

    def __init__(self, sql: str, examples: Sequence[Any]) -> None:
        types = [cast_of(value) for value in examples]
        self._placed = _placed(sql, (f"%s{type_}" for type_ in types), percent="%%")
        numbered = (f"${number}{type_}" for number, type_ in enumerate(types, start=1))
        self._numbered = _placed(sql, numbered, percent="%").encode()
        self._name = b"prepared_" + uuid.uuid4().hex.encode()
        self._loaders: list[Callable[[bytes], Any] | None] | None = None

    def first_row(self, parameters: Sequence[bytes | None]) -> Row | None:
        """Return the first row, None without rows. ``as_text`` encodes the parameters. Raises ``DatabaseError``.

        If the thread has no connection, the statement borrows one from the pool.
        """
        # The proxy ``django.db.connection`` looks the connection up for every attribute.
        connection: Any = connections[DEFAULT_DB_ALIAS]
        # Running a statement that no longer exists would abort the transaction; psycopg's cursor knows which exist.
        if connection.in_atomic_block or connection.queries_logged or connection.execute_wrappers:
            return self._through_django(parameters)
        pool = connection.pool
        if connection.connection is None and pool is not None:
            with connection.wrap_database_errors:
                borrowed = connection.borrow()
                try:
                    return self._answer(borrowed, parameters)
                finally:
                    pool.putconn(borrowed)
        connection.ensure_connection()
        raw = connection.connection
        if not raw.autocommit and raw.pgconn.transaction_status == TransactionStatus.IDLE:
            return self._through_django(parameters)  # begins a transaction
        with connection.wrap_database_errors:
            return self._answer(raw, parameters)

    def _answer(self, raw: Any, parameters: Sequence[bytes | None]) -> Row | None:
        steps = self.steps(raw, parameters)
        name, arguments = next(steps)
        while True:
            try:
                name, arguments = steps.send(getattr(raw.pgconn, name)(*arguments))
            except StopIteration as stop:
                return self.row_of(raw, stop.value)

    def row_of(self, raw: Any, result: Any) -> Row | None:
        """Return the first row of a result of ``steps``, None without rows. Raises psycopg's errors."""
        if result.status != ExecStatus.TUPLES_OK:
            if raw.pgconn.status != ConnStatus.OK:
                raise psycopg.OperationalError(f"the connection is lost: {raw.pgconn.get_error_message().strip()}")
            raise psycopg.errors.error_from_result(result, encoding=raw.info.encoding)
        return self._row(result) if result.ntuples else None

    def steps(self, raw: Any, parameters: Sequence[bytes | None]) -> Generator[Command, Any, Any]:
        """Yield the commands that run the statement on a connection, receive the result of each, return the last one.

        A thread waits for each result, and the event loop (``database.event_loop``) serves others meanwhile.
        """
        # Prepared statements are off, for a pooler that does not support them, or a transaction is open.
        if raw.prepare_threshold is None or raw.pgconn.transaction_status != TransactionStatus.IDLE:
            return (yield "exec_params", (self._numbered, parameters))
        known = _prepared.get(raw)
        if known is None:
            known = _prepared[raw] = {}
        fresh_until = known.get(self._name)
        now = time.monotonic()
        if fresh_until is not None:
            if now < fresh_until:
                result = yield "exec_prepared", (self._name, parameters)
                if result.error_field(DiagnosticField.SQLSTATE) not in OUTDATED:
                    return result
            del known[self._name]
            yield "exec_", (b"DEALLOCATE " + self._name,)
        result = yield "prepare", (self._name, self._numbered)
        if result.status != ExecStatus.COMMAND_OK:
            return result
        self._loaders = None  # the columns can have changed
        known[self._name] = now + FRESH
        return (yield "exec_prepared", (self._name, parameters))

    def _through_django(self, parameters: Sequence[bytes | None]) -> Row | None:
        """Run the statement with Django's cursor, which logs and instruments queries."""
        with connection.cursor() as cursor:
            cursor.execute(self._placed, [None if value is None else value.decode() for value in parameters])
            result = cursor.pgresult
            return self._row(result) if result.ntuples else None

    def _row(self, result: Any) -> Row:
        loaders = self._loaders
        if loaders is None:
            loaders = self._loaders = [TO_PYTHON.get(result.ftype(column)) for column in range(result.nfields)]
        values = []
        for column, load in enumerate(loaders):
            value = result.get_value(0, column)
            values.append(value if load is None or value is None else load(value))
        return tuple(values)


class PreparedCommand:
    """A statement that changes a row and returns it, with named parameters (``%(name)s``).

    Its SQL must determine the parameters' types. Returns values as ``Prepared`` does.
    """

    def __init__(self, sql: str) -> None:
        self._names = NAME.findall(sql)
        self._prepared = Prepared(NAME.sub("%s", sql), [None] * len(self._names))

    def row(self, **parameters: Any) -> Row | None:
        """Return the changed row, or None. Raises ``django.db.DatabaseError``, and KeyError for a missing parameter."""
        return self._prepared.first_row([as_text(parameters[name]) for name in self._names])


def _placed(sql: str, placeholders: Iterator[str], *, percent: str) -> str:
    """Return the SQL with these placeholders for each ``%s``, and this text for each ``%%``."""
    return PLACEHOLDER.sub(lambda match: percent if match[1] == "%" else next(placeholders), sql)


def cast_of(value: Any) -> str:
    """Return the type of an example as a cast, empty if PostgreSQL infers it. Lists are lists of UUIDs."""
    match value:
        case bool():
            return "::boolean"
        case Int4():
            return "::integer"
        case int():
            return "::bigint"
        case uuid.UUID():
            return "::uuid"
        case list():
            return "::uuid[]"
        case datetime():
            return "::timestamptz"
    return ""


def as_text(value: Any) -> bytes | None:
    """Encode a parameter. Raises DataError for texts that PostgreSQL cannot store, TypeError for unknown types."""
    write = WRITERS.get(type(value))
    if write is None:
        write = WRITERS[type(value)] = _writer_of(type(value))
    return write(value)


def _writer_of(kind: type) -> Callable[[Any], bytes | None]:
    """Return the writer of the nearest base class, such as str for a TextChoices. Raises TypeError."""
    for base in kind.__mro__:
        if base in WRITERS:
            return WRITERS[base]
    raise TypeError(f"cannot send a {kind.__name__}")


def _text(value: str) -> bytes:
    if "\0" in value:
        raise DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    return str.encode(value)


def _list(values: list[Any]) -> bytes:
    return b"{%s}" % b",".join(map(_element, values))


def _element(value: uuid.UUID | str) -> bytes:
    """Encode an element of an array."""
    text = as_text(value) or b""
    if isinstance(value, uuid.UUID):
        return text
    return b'"%s"' % text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


# By type. Writers of derived classes are added on first use.
WRITERS: dict[type, Callable[[Any], bytes | None]] = {
    type(None): lambda _: None,
    str: _text,
    bool: lambda value: b"true" if value else b"false",
    int: lambda value: b"%d" % value,
    float: lambda value: repr(value).encode(),
    uuid.UUID: lambda value: b"%032x" % value.int,  # four times as fast as the form with dashes
    list: _list,
    datetime: lambda value: value.isoformat().encode(),
}
