"""Undocumented names of libraries that the code uses: each test fails if an upgrade changes one.

If a test fails, read how the library does it now, and change the code that the test names.
"""

import inspect
from typing import Any

import httptools
import psycopg
import uvicorn
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.db.backends.postgresql import base, creation
from django.test import RequestFactory
from rest_framework.request import Request
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from coderproj.database.creation import DatabaseCreation


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def source(function: Any) -> str:
    return inspect.getsource(function)


def test_rest_framework_request_has_django_request():
    """``request._request`` in coderproj/api, coderproj/accounts and provisioning/views."""
    django_request = RequestFactory().get("/")
    assert Request(django_request)._request is django_request


def test_django_calls_destroy_test_db():
    """coderproj/database/creation.py overrides ``_destroy_test_db`` and uses ``_nodb_cursor``."""
    assert parameters(creation.DatabaseCreation._destroy_test_db) == ["self", "test_database_name", "verbosity"]
    assert parameters(DatabaseCreation._destroy_test_db) == ["self", "test_database_name", "verbosity"]
    assert "self._destroy_test_db(test_database_name, verbosity)" in source(creation.DatabaseCreation.destroy_test_db)
    assert parameters(creation.DatabaseCreation._nodb_cursor) == ["self"]


def test_django_gets_connections_from_a_pool_that_the_backend_can_use():
    """coderproj/database/base.py and prepared.py use ``pool``, ``get_new_connection`` and ``wrap_database_errors``."""
    assert isinstance(base.DatabaseWrapper.pool, property)
    assert "self.pool.getconn()" in source(base.DatabaseWrapper.get_new_connection)
    assert parameters(base.DatabaseWrapper.get_new_connection) == ["self", "conn_params"]
    assert hasattr(base.DatabaseWrapper, "wrap_database_errors")
    assert hasattr(base.DatabaseWrapper, "queries_logged")


def test_djangos_wsgi_handler_returns_the_response():
    """coderproj/web/bridge.py ignores ``start_response`` and sends the HttpResponse that the handler returns."""
    assert parameters(WSGIHandler.__call__) == ["self", "environ", "start_response"]
    assert "response = self.get_response(request)" in source(WSGIHandler.__call__)
    assert source(WSGIHandler.__call__).rstrip().endswith("return response")
    assert 'environ["wsgi.input"]' in source(WSGIRequest.__init__)


def test_psycopg_has_the_low_level_calls_of_prepared_statements():
    """coderproj/database/prepared.py calls libpq through psycopg."""
    for name in ("exec_params", "exec_prepared", "prepare", "exec_", "transaction_status", "status"):
        assert hasattr(psycopg.pq.PGconn, name), name
    for name in ("error_field", "ftype", "get_value", "nfields", "ntuples", "status"):
        assert hasattr(psycopg.pq.PGresult, name), name
    assert parameters(psycopg.errors.error_from_result) == ["result", "encoding"]


def test_uvicorn_answers_malformed_requests_with_an_overridable_method():
    """coderproj/web/protocols.py: HttpProtocol."""
    assert parameters(HttpToolsProtocol.send_400_response) == ["self", "msg"]
    assert "self.send_400_response(msg)" in source(HttpToolsProtocol.data_received)
    assert httptools.HttpParserError.__name__ in source(HttpToolsProtocol.data_received)


def test_uvicorn_websockets_have_the_state_that_frames_need():
    """coderproj/web/protocols.py: FrameProtocol."""
    assert parameters(WebSocketsSansIOProtocol.send) == ["self", "message"]
    assert inspect.iscoroutinefunction(WebSocketsSansIOProtocol.send)
    assert inspect.iscoroutinefunction(WebSocketsSansIOProtocol.run_asgi)
    protocol = source(WebSocketsSansIOProtocol)
    for name in ("handshake_complete", "close_sent", "disconnected", "writable", "conn", "transport", "scope"):
        assert f"self.{name}" in protocol, name
    for name in ("ping_interval", "ping_timeout"):
        assert f"self.{name} = " in protocol, name
    for name in ("start_keepalive", "stop_keepalive", "keepalive_timeout"):
        assert parameters(getattr(WebSocketsSansIOProtocol, name)) == ["self"]
    assert issubclass(ClientDisconnected, OSError)


def test_uvicorn_server_has_the_methods_that_ours_overrides():
    """coderproj/web/server.py."""
    assert parameters(uvicorn.Server.handle_exit) == ["self", "sig", "frame"]
    assert parameters(uvicorn.Server.shutdown) == ["self", "sockets"]
    assert parameters(uvicorn.Server.run) == ["self", "sockets"]
    assert "with self.capture_signals():" in source(uvicorn.Server.serve)
    server = uvicorn.Server(uvicorn.Config("none:none"))
    assert (server.should_exit, server.started) == (False, False)
    assert "self.servers" in source(uvicorn.Server.startup)
