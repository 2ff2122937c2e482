"""Bodies with a Terraform state: who may send what is too long for other bodies, and how it is parsed.

The state is base64 in JSON. A long body is split without parsing the state: it is decoded once, into bytes.
"""

import re
from collections.abc import Mapping
from typing import IO, Any, Protocol, TypeVar

import msgspec
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from rest_framework.exceptions import ParseError

from coderproj.api.parsers import StrictJSONParser, parse_json
from coderproj.base.errors import TooLarge
from coderproj.base.identifiers import parse_uuid
from coderproj.identity.actor import Actor
from coderproj.web.callers import Environ
from provisioning.engine.base import MAX_STATE
from templates_app.workspaces.models import Workspace
from templates_app.workspaces.services import access
from templates_app.workspaces.services.builds import StateTooLarge

Decoded = TypeVar("Decoded")

STATE = "state"
MAX_STATE_TEXT = (MAX_STATE + 2) // 3 * 4
PATH = re.compile(r"/api/v2/workspaces/([^/]+)/builds/?")


def max_body() -> int:
    """Return the largest number of bytes of a body with a state: as many as others for all but the state."""
    return MAX_STATE_TEXT + settings.DATA_UPLOAD_MAX_MEMORY_SIZE


class StateBodies:
    """New builds of workspaces. Their bodies can have a state, from users who may handle it."""

    def matches(self, environ: Environ) -> bool:
        return environ["REQUEST_METHOD"] == "POST" and PATH.fullmatch(environ["PATH_INFO"]) is not None

    def allowance(self, environ: Environ, actor: Actor) -> int:
        found = PATH.fullmatch(environ["PATH_INFO"])
        workspace_id = parse_uuid(found[1]) if found else None
        workspace = Workspace.objects.visible(actor).filter(pk=workspace_id).first() if workspace_id else None
        return max_body() if workspace is not None and access.may_handle_state(actor, workspace) else 0


LONG_BODIES = [StateBodies()]


class TakesStates(Protocol):
    """A view whose bodies can have a state."""

    def may_send_state(self) -> bool:
        """Return True if the actor may handle the state."""


class StateParser(StrictJSONParser):
    """Parses bodies of any length up to ``max_body``. In a long one, ``state`` becomes bytes, or False if it is not
    base64. Raises ParseError, StateTooLarge, and TooLarge for what is long without ``state``, which must be spelled so.
    """

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        try:
            body = stream.read(limit + 1)
        except RequestDataTooBig:  # the web server has not received it
            raise StateTooLarge from None
        if len(body) <= limit:
            return parse_json(body)
        view: TakesStates = (parser_context or {})["view"]
        if not view.may_send_state():
            raise StateTooLarge
        body += stream.read(max_body() - limit)
        if len(body) > max_body():
            raise StateTooLarge
        return parse_long(body)


def parse_long(body: bytes) -> dict[str, Any]:
    """Return the fields of a JSON object. Raises like ``StateParser``."""
    state = _decoded(body, _WithState).state
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if len(body) - len(memoryview(state)) > limit:
        raise TooLarge(f"The request body without its state is larger than {limit} bytes.")
    fields = _decoded(body, dict[str, msgspec.Raw])
    del fields[STATE]
    rest = b",".join(msgspec.json.encode(name) + b":" + memoryview(raw) for name, raw in fields.items())
    found: dict[str, Any] = parse_json(b"{" + rest + b"}")
    try:
        found[STATE] = msgspec.json.decode(state, type=bytes | None)
    except msgspec.DecodeError:
        found[STATE] = False
    return found


class _WithState(msgspec.Struct):
    """All that is read of a body of any length."""

    state: msgspec.Raw = msgspec.Raw()


def _decoded(body: bytes, wanted: type[Decoded]) -> Decoded:
    """Raises ParseError."""
    try:
        return msgspec.json.decode(body, type=wanted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ParseError(str(error)) from None
