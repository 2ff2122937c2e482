"""Creating and dropping test databases."""

from django.db.backends.postgresql import creation


class DatabaseCreation(creation.DatabaseCreation):
    """Drops a test database even if it has open connections.

    Django's own class then fails the whole test run, even if a connection only waits for the garbage collector, or its
    client has just been killed.
    """

    def _destroy_test_db(self, test_database_name: str, verbosity: int) -> None:
        self.connection.close_pool()
        with self._nodb_cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(f"DROP DATABASE {self.connection.ops.quote_name(test_database_name)} WITH (FORCE)")
