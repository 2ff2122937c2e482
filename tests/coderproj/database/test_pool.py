"""The backend with Django's connection pool."""

from contextlib import closing

import psycopg
import pytest
from django.db import OperationalError, connection, connections

from coderproj.database.base import DatabaseWrapper

BACKEND = "SELECT pg_backend_pid()"


@pytest.fixture
def pooled(django_db_setup, django_db_blocker):
    """A wrapper whose own pool has two connections."""
    with django_db_blocker.unblock():
        settings = connection.settings_dict
        options = settings["OPTIONS"] | {"pool": {"min_size": 2, "max_size": 2, "timeout": 5}}
        wrapper = DatabaseWrapper(settings | {"OPTIONS": options, "CONN_MAX_AGE": 0}, alias="pooled")
        connections["pooled"] = wrapper
        wrapper.pool.open(wait=True)
        yield wrapper
        del connections["pooled"]
        wrapper.close()
        wrapper.close_pool()


def backend(wrapper) -> int:
    """The process id of the server process behind the next connection."""
    with closing(wrapper), wrapper.cursor() as cursor:
        cursor.execute(BACKEND)
        return cursor.fetchone()[0]


def test_connections_closed_by_the_server_are_replaced(pooled):
    closed = {backend(pooled)}
    one, other = pooled.borrow(), pooled.borrow()
    closed |= {one.info.backend_pid, other.info.backend_pid}
    assert len(closed) == 2
    pooled.pool.putconn(one)
    pooled.pool.putconn(other)
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as administrator:
        for pid in closed:
            administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    borrowed = pooled.borrow()
    assert borrowed.execute(BACKEND).fetchone()[0] not in closed
    pooled.pool.putconn(borrowed)
    assert backend(pooled) not in closed


def test_a_closed_pool_is_opened_on_demand(pooled):
    pooled.close_pool()
    borrowed = pooled.borrow()
    assert borrowed.execute("SELECT 1").fetchone()[0] == 1
    pooled.pool.putconn(borrowed)


def test_borrowing_from_an_exhausted_pool_raises(pooled):
    held = [pooled.borrow() for _ in range(2)]
    pooled.pool.timeout = 0.05
    with pytest.raises(OperationalError), pooled.wrap_database_errors:
        pooled.borrow()
    for one in held:
        pooled.pool.putconn(one)
