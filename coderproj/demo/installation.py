"""Which installation a server belongs to, and what state this one's database is in."""

from enum import Enum

import psycopg
from django.db import connection
from psycopg.conninfo import make_conninfo

from coderproj.identity import tokens
from coderproj.identity.models import KeyScope, LoginType, User
from coderproj.identity.roles import SiteRole
from coderproj.web.addresses import ask

CONNECT_SECONDS = 3
PROBE_SECONDS = 60


class Database(Enum):
    """Of this installation's database: nothing answers, it has no tables yet, or it is in use."""

    AWAY = "away"
    EMPTY = "empty"
    IN_USE = "in use"


def database() -> Database:
    """The state of the database. Asked without the pool, which would wait for it to come up."""
    parameters = connection.get_connection_params()
    known = ("host", "port", "user", "password", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey")
    where = {name: parameters[name] for name in known if parameters.get(name)}
    try:
        with psycopg.connect(make_conninfo(**where), connect_timeout=CONNECT_SECONDS) as asked:
            row = asked.execute("SELECT to_regclass(%s) IS NULL", [User._meta.db_table]).fetchone()
    except psycopg.Error:
        return Database.AWAY
    return Database.EMPTY if row is None or row[0] else Database.IN_USE


def is_served_at(url: str) -> bool:
    """Whether the server at ``url`` works on our database. It is asked with a key that opens nothing, and which ours
    notes as used; so another program, or another installation, learns nothing that it could use.
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


def first_owner() -> User | None:
    """The deployment's first owner, as whom the demonstration acts."""
    return User.objects.existing().filter(site_roles__contains=[SiteRole.OWNER]).order_by("created_at").first()


def answers(url: str) -> bool:
    """Whether a server like ours is there."""
    return ask(f"{url}/healthz", {}) == b"OK"
