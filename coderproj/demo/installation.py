"""Which installation a server belongs to, and the state of this installation's database."""

from enum import Enum

import psycopg
from django.db import connection
from psycopg.conninfo import make_conninfo

from coderproj.identity import tokens
from coderproj.identity.models import KeyScope, LoginType, User
from coderproj.management.first_user import first_owner
from coderproj.web.addresses import ask

CONNECT_SECONDS = 3
PROBE_SECONDS = 60


class Database(Enum):
    """The state of this installation's database: unavailable, without tables, or in use."""

    UNAVAILABLE = "unavailable"
    EMPTY = "empty"
    IN_USE = "in use"


def database() -> Database:
    """Return the state of the database. Connects without the pool, which would wait for the database."""
    parameters = connection.get_connection_params()
    known = ("host", "port", "user", "password", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey")
    where = {name: parameters[name] for name in known if parameters.get(name)}
    try:
        with psycopg.connect(make_conninfo(**where), connect_timeout=CONNECT_SECONDS) as asked:
            row = asked.execute("SELECT to_regclass(%s) IS NULL", [User._meta.db_table]).fetchone()
    except psycopg.Error:
        return Database.UNAVAILABLE
    return Database.EMPTY if row is None or row[0] else Database.IN_USE


def is_served_at(url: str) -> bool:
    """Return True if the server at ``url`` uses this installation's database.

    Sends a key without permissions. Only a server on this database records its use, and another program or installation
    cannot do anything with it.
    """
    owner = first_owner() if database() is Database.IN_USE else None
    if owner is None:
        return False
    key, token = tokens.issue(
        user=owner,
        login_type=LoginType.TOKEN,
        lifetime_seconds=PROBE_SECONDS,
        scope=KeyScope.APPLICATION_CONNECT,
    )
    try:
        ask(f"{url}/api/v2/users/me", {"Coder-Session-Token": token})
        key.refresh_from_db()
        return key.last_used is not None
    finally:
        key.delete()


def answers(url: str) -> bool:
    """Return True if a coderproj server answers at ``url``."""
    return ask(f"{url}/healthz", {}) == b"OK"
