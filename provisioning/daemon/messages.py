"""The messages between the daemon and a runner: one JSON document per line, over the runner's pipes.

No Django here: the runner imports this module.
"""

from pathlib import Path
from typing import Annotated, Any

import msgspec

from provisioning.engine.base import MAX_STATE, CostDecision, Entries, LogLine, ParameterSchema, ParameterValue
from provisioning.protocol.wire import MAX_COST, MAX_README_CHARACTERS


class Message(msgspec.Struct, frozen=True, tag_field="is", tag=True):
    """The base of all messages; the field ``is`` names the class."""


# ------------------------------------------------------------------ from the daemon to the runner
class Prepare(Message, frozen=True, tag=True):
    """Sent once at the start, before the job: import and set up the engines with these names.
    ``settings`` are those of ``engine.terraform.EngineSettings``, by name; ``job_kinds`` are the dotted paths of
    ``protocol.kinds.load``.
    """

    provisioners: tuple[str, ...]
    settings: dict[str, Any]
    job_kinds: tuple[str, ...] = ()


class WarmUp(Message, frozen=True, tag=True):
    """Prepare for a job in advance, while the daemon is idle. Costs memory."""


class Start(Message, frozen=True, tag=True):
    """The job. ``archive`` is the path of a plain tar, ``directory`` the folder to unpack it into, ``payload`` the
    JSON of the type that the job's kind declares. ``entry`` is the job's folder in the spool, if it has one."""

    job_type: str
    provisioner: str
    archive: Path
    directory: Path
    payload: msgspec.Raw
    entry: Path | None = None


class Values(Message, frozen=True, tag=True):
    """The computed values: the answer to ``SchemasFound``."""

    values: tuple[ParameterValue, ...]


class Cancel(Message, frozen=True, tag=True):
    """Interrupt the job."""


class Confirmed(Message, frozen=True, tag=True):
    """The lease was extended. A job that changes things outside is interrupted, what it runs is killed, and its runner
    exits at these monotonic times unless another message follows: its daemon may be frozen, and the server may start
    the next build."""

    interrupt_at: float
    kill_at: float
    exit_at: float


class CostDecided(Message, frozen=True, tag=True):
    """The answer to ``CostPlanned``."""

    decision: CostDecision


Order = Prepare | WarmUp | Start | Values | CostDecided | Cancel | Confirmed


# ------------------------------------------------------------------ from the runner to the daemon
class Logged(Message, frozen=True, tag=True):
    line: LogLine


class ReadmeFound(Message, frozen=True, tag=True):
    readme: Annotated[str, msgspec.Meta(max_length=MAX_README_CHARACTERS)]


class SchemasFound(Message, frozen=True, tag=True):
    """The variables of a template; the runner waits for ``Values``."""

    schemas: Annotated[tuple[ParameterSchema, ...], Entries]


class StateFound(Message, frozen=True, tag=True):
    """The state of what the job changed so far."""

    state: Annotated[bytes, msgspec.Meta(max_length=MAX_STATE)]


class CostPlanned(Message, frozen=True, tag=True):
    """What the plan costs, in credits a day; the runner waits for ``CostDecided``."""

    cost: Annotated[int, msgspec.Meta(ge=0, le=MAX_COST)]


class Measured(Message, frozen=True, tag=True):
    """The durations of the parts of a job, in seconds; sent right before the end of a job."""

    seconds: dict[str, float]


class Finished(Message, frozen=True, tag=True):
    """The end of a job that succeeded. ``result`` is the JSON of the type that the job's kind declares."""

    result: msgspec.Raw


class Failed(Message, frozen=True, tag=True):
    """The end of a job that failed; the text is for users."""

    error: str


class Interrupted(Message, frozen=True, tag=True):
    """The end of a job that was interrupted."""


Event = Logged | ReadmeFound | SchemasFound | StateFound | CostPlanned | Measured | Finished | Failed | Interrupted


class Unreadable(Exception):
    """The other side sent an invalid message."""


class OutOfBounds(Unreadable):
    """A field has the wrong type, or exceeds its bound. The message says which and where."""


def raw(value: Any) -> msgspec.Raw:
    """Encode a payload or result as part of a message."""
    return msgspec.Raw(msgspec.json.encode(value))


def encode(message: Message) -> bytes:
    """Encode a message as one line."""
    return msgspec.json.encode(message, enc_hook=_encode_path) + b"\n"


def decode_order(line: bytes) -> Order:
    """Decode a line. Raises Unreadable."""
    order: Order = _decode(_orders, line)
    return order


def decode_event(line: bytes) -> Event:
    """Decode a line. Raises Unreadable."""
    event: Event = _decode(_events, line)
    return event


def _decode(decoder: msgspec.json.Decoder[Any], line: bytes) -> Any:
    try:
        return decoder.decode(line)
    except msgspec.ValidationError as error:
        raise OutOfBounds(str(error)) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from error


def _encode_path(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value).__name__)  # msgspec turns this into its own error


def decode_path(wanted: type, value: object) -> object:
    """Return the path for a text; msgspec's hook for types that JSON does not have."""
    if wanted is Path:
        return Path(str(value))
    raise NotImplementedError(wanted.__name__)  # likewise an error of msgspec


_orders: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order, dec_hook=decode_path)
_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
