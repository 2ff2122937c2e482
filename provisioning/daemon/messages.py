"""What the daemon and a job's process say to each other: one JSON document a line, over the process's own
pipes.

No Django here: the job's process imports it.
"""

from pathlib import Path
from typing import Any

import msgspec

from provisioning.engine.base import LogLine, ParameterSchema, ParameterValue


class Message(msgspec.Struct, frozen=True, tag_field="is", tag=True):
    """The base of all messages; the field ``is`` names the class."""


# ------------------------------------------------------------------ to the job's process
class Prepare(Message, frozen=True, tag=True):
    """Said once at the start, before there is a job: import and set up the engines of these names.
    ``settings`` are those of ``engine.terraform.EngineSettings``, by name; ``job_kinds`` are the dotted paths of
    ``protocol.kinds.load``.
    """

    provisioners: tuple[str, ...]
    settings: dict[str, Any]
    job_kinds: tuple[str, ...] = ()


class WarmUp(Message, frozen=True, tag=True):
    """No job is in sight: do ahead what can be done ahead, at the cost of memory."""


class Start(Message, frozen=True, tag=True):
    """The job. ``archive`` is the path of a plain tar, ``directory`` where it is to be unpacked, ``payload`` the JSON
    of the type that the job's kind names."""

    job_type: str
    provisioner: str
    archive: Path
    directory: Path
    payload: msgspec.Raw


class Values(Message, frozen=True, tag=True):
    """The computed values, in answer to ``SchemasFound``."""

    values: tuple[ParameterValue, ...]


class Cancel(Message, frozen=True, tag=True):
    """Interrupt the job."""


Order = Prepare | WarmUp | Start | Values | Cancel


# ------------------------------------------------------------------ from the job's process
class Logged(Message, frozen=True, tag=True):
    line: LogLine


class ReadmeFound(Message, frozen=True, tag=True):
    readme: str


class SchemasFound(Message, frozen=True, tag=True):
    """The variables of a template; the process waits for ``Values``."""

    schemas: tuple[ParameterSchema, ...]


class Measured(Message, frozen=True, tag=True):
    """How long the parts of a job took in its process, in seconds; comes right before the end of a job."""

    seconds: dict[str, float]


class Finished(Message, frozen=True, tag=True):
    """The end of a job that succeeded. ``result`` is the JSON of the type that the job's kind names."""

    result: msgspec.Raw


class Failed(Message, frozen=True, tag=True):
    """The end of a job that cannot be carried out; the text is for users."""

    error: str


class Interrupted(Message, frozen=True, tag=True):
    """The end of a job that was told to stop."""


Event = Logged | ReadmeFound | SchemasFound | Measured | Finished | Failed | Interrupted


class Unreadable(Exception):
    """The other side sent something that is no message."""


def raw(value: Any) -> msgspec.Raw:
    """A payload or result as part of a message."""
    return msgspec.Raw(msgspec.json.encode(value))


def encode(message: Message) -> bytes:
    """A message as one line."""
    return msgspec.json.encode(message, enc_hook=_encode_path) + b"\n"


def decode_order(line: bytes) -> Order:
    """Raises Unreadable."""
    order: Order = _decode(_orders, line)
    return order


def decode_event(line: bytes) -> Event:
    """Raises Unreadable."""
    event: Event = _decode(_events, line)
    return event


def _decode(decoder: msgspec.json.Decoder[Any], line: bytes) -> Any:
    try:
        return decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from error


def _encode_path(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value).__name__)  # msgspec's way to hear that a hook knows no such type


def _decode_path(wanted: type, value: object) -> object:
    if wanted is Path:
        return Path(str(value))
    raise NotImplementedError(wanted.__name__)  # likewise


_orders: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order, dec_hook=_decode_path)
_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
