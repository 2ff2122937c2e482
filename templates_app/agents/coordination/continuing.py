"""Requests that continue a session, on the event loop: without a thread and without a statement.

The view has authorized the request that began the session. Until the session ends, the same token continues it: the
coordinator checks it when the workspace changes and once a minute, as it does for WebSockets.
"""

import uuid

import msgspec
from django.core.handlers.wsgi import WSGIRequest
from django.http.response import HttpResponseBase

from coderproj.base.identifiers import parse_uuid
from coderproj.identity.authentication import SESSION_HEADER
from coderproj.web.environ import SERVICES, Environ
from coderproj.web.middleware import add_common_headers
from coderproj.web.replies import Handover
from provisioning.models import hash_of_token
from templates_app.agents.coordination.polls import Polls

PATH = "/api/v2/workspaceagents/me/presence"


class Body(msgspec.Struct, forbid_unknown_fields=True):
    session: str


class PresenceResponder:
    """Continues sessions; see ``web.dispatcher.LoopResponder``. The view answers everything else, errors included."""

    async def start(self) -> None:
        """Nothing."""

    async def stop(self) -> None:
        """Nothing."""

    async def respond(self, environ: Environ) -> HttpResponseBase | None:
        """Return the held response to a request that continues a session; None for the view."""
        if environ["REQUEST_METHOD"] != "POST" or environ["PATH_INFO"].rstrip("/") != PATH:
            return None
        polls: Polls | None = environ[SERVICES].get(Polls.key)
        # A cookie needs the view's check of the origin.
        token = None if "HTTP_COOKIE" in environ else parse_uuid(environ.get(SESSION_HEADER, ""))
        if polls is None or token is None or "json" not in environ.get("CONTENT_TYPE", ""):
            return None
        try:
            body = msgspec.json.decode(environ["wsgi.input"].read(), type=Body)
        except msgspec.DecodeError:
            return None
        poll = polls.poll_of(hash_of_token(token), body.session)
        if poll is None:
            return None
        request = WSGIRequest(environ)
        request.request_id = uuid.uuid4()  # type: ignore[attr-defined]
        response = Handover(poll)
        response["Cache-Control"] = "no-store"
        add_common_headers(response, request)
        return response


RESPONDERS = [PresenceResponder]
