"""Stores rows with COPY: many times faster than inserts, and times are stored as they are given."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from django.db import connection, models
from psycopg import sql

PREPARED = (models.JSONField, models.CharField)


def copy(rows: Iterable[models.Model]) -> int:
    """Store new rows of one model. Return their number.

    ``updated_at`` is that of ``created_at`` unless it is given. What the database counts or generates is left to it.
    """
    waiting = iter(rows)
    first = next(waiting, None)
    if first is None:
        return 0
    made = (models.AutoField, models.GeneratedField)
    fields = [field for field in first._meta.concrete_fields if not isinstance(field, made)]
    return copy_values(
        first._meta.db_table,
        [str(field.column) for field in fields],
        (_values(row, fields) for row in chain([first], waiting)),
    )


def copy_values(table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Store rows of a table. Return their number."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    count = 0
    with connection.cursor() as cursor, cursor.copy(statement) as copying:
        for row in rows:
            copying.write_row(row)
            count += 1
    return count


def _values(row: models.Model, fields: Sequence[Any]) -> list[Any]:
    return list(_each(row, fields))


def _each(row: models.Model, fields: Sequence[Any]) -> Iterator[Any]:
    for field in fields:
        value = getattr(row, field.attname)
        if value is None and getattr(field, "auto_now", False):
            value = row.created_at  # type: ignore[attr-defined] # models with one have the other
        # The driver takes all other values as they are, in a fraction of the time.
        yield field.get_db_prep_save(value, connection) if isinstance(field, PREPARED) else value
