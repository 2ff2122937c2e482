"""The database schema of Procrastinate, as the library's own SQL files. Migrations name the last file that they run."""

from importlib import resources
from typing import Any

from django.db import transaction

TABLE = "procrastinate_jobs"
FOLDER = "procrastinate.sql.migrations"


class ForeignTables(Exception):
    """The database has tables of Procrastinate that are not ours."""


def files(*, after: str = "", last: str) -> list[str]:
    """Return the names of the SQL files after one file, up to and including the last one, in their order.

    Raises LookupError if the installed library has no file ``last``.
    """
    names = sorted(path.name for path in resources.files(FOLDER).iterdir() if path.name.endswith(".sql"))
    if last not in names:
        raise LookupError(f"the installed Procrastinate has no {last}")
    return [name for name in names if after < name <= last]


def apply(editor: Any, *, last: str) -> None:
    """Run the files up to the last one that the database does not have, by the schema editor of a migration that is not
    atomic.

    Each file has a transaction, because PostgreSQL uses new values of an enumeration only after a commit. The table's
    comment keeps the name of the last file: an interrupted migration goes on. Raises ForeignTables.
    """
    for name in files(after=applied(editor.connection), last=last):
        with transaction.atomic(using=editor.connection.alias):
            editor.execute((resources.files(FOLDER) / name).read_text(encoding="utf-8"), params=None)
            editor.execute(f"COMMENT ON TABLE {TABLE} IS '{name}'", params=None)


def applied(connection: Any) -> str:
    """Return the name of the last file that was run, empty for none. Raises ForeignTables."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL, obj_description(to_regclass(%s))", [TABLE, TABLE])
        exists, name = cursor.fetchone()
    if exists and not name:
        raise ForeignTables(
            f"The database has a table {TABLE} of another application. Give coderproj its own database."
        )
    return name or ""
