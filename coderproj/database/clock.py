"""The database's clock: the only one that all processes of a deployment share."""

from datetime import datetime

from django.db import connection


def database_time() -> datetime:
    """Return the time at which PostgreSQL runs this statement."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        row = cursor.fetchone()
    moment: datetime = row[0]
    return moment
