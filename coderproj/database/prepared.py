"""Prepared statements, run with as little around them as possible.

A read of the API is one statement whose one row is the body of the answer, and a step in a job's life is one that
changes one row. Django's and psycopg's cursors take longer to send such a statement than PostgreSQL takes to answer
many of them: here libpq is called with texts that are ready to be sent, and what comes back stays bytes.
"""

import binascii
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
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
    17: lambda text: binascii.unhexlify(memoryview(text)[2:]),  # \\x and hex
    20: int,
    21: int,
    23: int,
    2950: lambda text: uuid.UUID(text.decode()),
}
# psycopg drops all statements of a connection after a rollback; a migration changes what they return.
OUTDATED = (b"26000", b"0A000")
PLACEHOLDER = re.compile(r"%(s|%)")
NAME = re.compile(r"%\((\w+)\)s")

Row = tuple[Any, ...]
# Seconds after which a statement is prepared anew. PostgreSQL goes by what a statement cost at its first uses when it
# chooses between the plan that it keeps and planning every time: where tables have grown since, it would plan thousands
# of times, which takes longer than the statement.
FRESH = 600.0
# The statements that a connection of the pool has prepared already, and when they are to be prepared anew.
_prepared: WeakKeyDictionary[Any, dict[bytes, float]] = WeakKeyDictionary()


class Prepared:
    """One statement with ``%s`` for parameters; ``examples`` are values of the types that it will be given.

    Columns come back as Python values when they are booleans, bytes, whole numbers or UUIDs; all others, text above
    all, as the bytes that PostgreSQL sent.
    """

    def __init__(self, sql: str, examples: Sequence[Any]) -> None:
        types = [cast_of(value) for value in examples]
        self._placed = _placed(sql, (f"%s{type_}" for type_ in types), percent="%%")
        numbered = (f"${number}{type_}" for number, type_ in enumerate(types, start=1))
        self._numbered = _placed(sql, numbered, percent="%").encode()
        self._name = b"prepared_" + uuid.uuid4().hex.encode()
        self._loaders: list[Callable[[bytes], Any] | None] | None = None

    def first_row(self, parameters: Sequence[bytes | None]) -> Row | None:
        """The first row for parameters that ``as_text`` has made. Raises ``django.db.DatabaseError``.

        Where the thread has no connection yet, one is borrowed from the pool for just this statement.
        """
        # The proxy ``django.db.connection`` would look it up again for every attribute.
        connection: Any = connections[DEFAULT_DB_ALIAS]
        # In a transaction psycopg knows which prepared statements are still there; ours, gone, would break it.
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
            return self._through_django(parameters)  # a transaction has to begin
        with connection.wrap_database_errors:
            return self._answer(raw, parameters)

    def _answer(self, raw: Any, parameters: Sequence[bytes | None]) -> Row | None:
        result = self._execute(raw, parameters)
        if result.status != ExecStatus.TUPLES_OK:
            if raw.pgconn.status != ConnStatus.OK:
                raise psycopg.OperationalError(f"the connection is lost: {raw.pgconn.get_error_message().strip()}")
            raise psycopg.errors.error_from_result(result, encoding=raw.info.encoding)
        return self._row(result) if result.ntuples else None

    def _execute(self, raw: Any, parameters: Sequence[bytes | None]) -> Any:
        # A pooler in between may know no such statements.
        if raw.prepare_threshold is None or raw.pgconn.transaction_status != TransactionStatus.IDLE:
            return raw.pgconn.exec_params(self._numbered, parameters)
        known = _prepared.get(raw)
        if known is None:
            known = _prepared[raw] = {}
        fresh_until = known.get(self._name)
        now = time.monotonic()
        if fresh_until is not None:
            if now < fresh_until:
                result = raw.pgconn.exec_prepared(self._name, parameters)
                if result.error_field(DiagnosticField.SQLSTATE) not in OUTDATED:
                    return result
            del known[self._name]
            raw.pgconn.exec_(b"DEALLOCATE " + self._name)
        result = raw.pgconn.prepare(self._name, self._numbered)
        if result.status != ExecStatus.COMMAND_OK:
            return result
        self._loaders = None  # the columns may have changed meanwhile
        known[self._name] = now + FRESH
        return raw.pgconn.exec_prepared(self._name, parameters)

    def _through_django(self, parameters: Sequence[bytes | None]) -> Row | None:
        """The same through Django's cursor, where somebody watches."""
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
    """A statement that changes a row and returns it, with named parameters (``%(name)s``) whose types its text tells.

    What it returns comes as from ``Prepared``.
    """

    def __init__(self, sql: str) -> None:
        self._names = NAME.findall(sql)
        self._prepared = Prepared(NAME.sub("%s", sql), [None] * len(self._names))

    def row(self, **parameters: Any) -> Row | None:
        """The row that was changed, or None. Raises ``django.db.DatabaseError``; KeyError for a missing parameter."""
        return self._prepared.first_row([as_text(parameters[name]) for name in self._names])


def _placed(sql: str, placeholders: Iterator[str], *, percent: str) -> str:
    """The SQL with these placeholders for each ``%s``, and this text for each ``%%``."""
    return PLACEHOLDER.sub(lambda match: percent if match[1] == "%" else next(placeholders), sql)


def cast_of(value: Any) -> str:
    """The type of an example as a cast, empty where PostgreSQL infers it; lists are of UUIDs."""
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
    """A parameter as it is sent. Raises DataError for a text that PostgreSQL cannot hold, TypeError."""
    write = WRITERS.get(type(value))
    if write is None:
        write = WRITERS[type(value)] = _writer_of(type(value))
    return write(value)


def _writer_of(kind: type) -> Callable[[Any], bytes | None]:
    """The writer of the nearest base class, for an enumeration of texts as an example. Raises TypeError."""
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
    """A member of an array."""
    text = as_text(value) or b""
    if isinstance(value, uuid.UUID):
        return text
    return b'"%s"' % text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


# By type; those of derived classes come as they are met.
WRITERS: dict[type, Callable[[Any], bytes | None]] = {
    type(None): lambda _: None,
    str: _text,
    bool: lambda value: b"true" if value else b"false",
    int: lambda value: b"%d" % value,
    float: lambda value: repr(value).encode(),
    uuid.UUID: lambda value: b"%032x" % value.int,  # a quarter of what the form with dashes takes
    list: _list,
    datetime: lambda value: value.isoformat().encode(),
}
