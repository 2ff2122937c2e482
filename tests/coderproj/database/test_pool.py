"""The pool of connections as the backend uses it."""

from contextlib import closing

import psycopg
import pytest
from django.db import OperationalError, connection, connections

from coderproj.database.base import DatabaseWrapper

BACKEND = "SELECT pg_backend_pid()"


@pytest.fixture
def pooled(django_db_setup, django_db_blocker):
    """A wrapper with a pool of two connections of its own."""
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
    """The server process that the next connection talks to."""
    with closing(wrapper), wrapper.cursor() as cursor:
        cursor.execute(BACKEND)
        return cursor.fetchone()[0]


def test_the_connection_that_came_back_last_goes_out_first(pooled):
    first, second = pooled.borrow(), pooled.borrow()
    pids = [one.info.backend_pid for one in (first, second)]
    pooled.pool.putconn(second)
    pooled.pool.putconn(first)
    assert [backend(pooled) for _ in range(3)] == [pids[0]] * 3


def test_the_longest_idle_connection_is_closed_first(pooled):
    pooled.pool.resize(1, 2)
    used = backend(pooled)
    pooled.pool._shrink_pool()  # notes that one was not needed
    pooled.pool._shrink_pool()
    assert len(pooled.pool._pool) == 1
    assert backend(pooled) == used


def test_connections_that_the_server_ended_are_replaced(pooled):
    ended = {backend(pooled)}
    one, other = pooled.borrow(), pooled.borrow()
    ended |= {one.info.backend_pid, other.info.backend_pid}
    assert len(ended) == 2
    pooled.pool.putconn(one)
    pooled.pool.putconn(other)
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as administrator:
        for pid in ended:
            administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    borrowed = pooled.borrow()
    assert borrowed.execute(BACKEND).fetchone()[0] not in ended
    pooled.pool.putconn(borrowed)
    assert backend(pooled) not in ended


def test_the_pool_is_opened_when_it_is_needed(pooled):
    pooled.close_pool()
    borrowed = pooled.borrow()
    assert borrowed.execute("SELECT 1").fetchone()[0] == 1
    pooled.pool.putconn(borrowed)


def test_too_many_at_once_are_told_so(pooled):
    held = [pooled.borrow() for _ in range(2)]
    pooled.pool.timeout = 0.05
    with pytest.raises(OperationalError), pooled.wrap_database_errors:
        pooled.borrow()
    for one in held:
        pooled.pool.putconn(one)
