"""Making and dropping test databases."""

from django.db.backends.postgresql import creation


class DatabaseCreation(creation.DatabaseCreation):
    """Drops a test database even while something is still connected to it.

    Django's own then fails the whole run, for a connection that waits for the garbage collector or whose client was
    killed a moment ago.
    """

    def _destroy_test_db(self, test_database_name: str, verbosity: int) -> None:
        self.connection.close_pool()
        with self._nodb_cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(f"DROP DATABASE {self.connection.ops.quote_name(test_database_name)} WITH (FORCE)")
