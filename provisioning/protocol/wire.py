"""What a daemon and the server say to each other over HTTPS: JSON bodies, decoded strictly.

No Django here: the daemon imports it. Below ``/api/v2/provisionerdaemons/`` every call is a POST but the archive's,
a key travels in ``KEY_HEADER``, and a call about a job carries its lease in ``LEASE_HEADER``.
"""

import uuid
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from provisioning.engine.base import (
    ImportResult,
    LogLine,
    ParameterSchema,
    ParameterValue,
    PlanInput,
    PlanResult,
)

KEY_HEADER = "Coder-Provisioner-Key"
LEASE_HEADER = "Coder-Provisioner-Lease"
PATH = "/api/v2/provisionerdaemons"

# What the process of a job may send to its supervisor in one message.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
# Bodies about a job may be as large as what its process may say, and a little wrapping.
MAX_LARGE_BYTES = MAX_MESSAGE_BYTES + 64 * 1024
MAX_SMALL_BYTES = 64 * 1024
# How long the server holds a wait, in seconds.
MAX_WAIT = 25.0
MAX_LINES = 10_000
# Unix time of the year 9999.
MAX_TIME = 253_000_000_000.0

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Text = Annotated[str, Meta(max_length=255)]
Seconds = Annotated[float, Meta(ge=1, le=300)]
Count = Annotated[int, Meta(ge=0, le=2**53)]


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of what daemons say."""


class Answer(msgspec.Struct, frozen=True):
    """The base of what the server says; a newer one may say more than we know."""


# ------------------------------------------------------------------ the daemon
class Register(Body, frozen=True):
    """Facts of a daemon; its tags are those of its key."""

    name: Name
    provisioners: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=8)]
    concurrency: Annotated[int, Meta(ge=1, le=1000)]
    version: Annotated[str, Meta(max_length=64)] = ""
    hostname: Text = ""
    engine: Annotated[str, Meta(max_length=128)] = ""
    sandbox: Annotated[str, Meta(max_length=64)] = ""


class Registered(Answer, frozen=True):
    id: uuid.UUID
    tags: dict[str, str]


class Daemon(Body, frozen=True):
    """Which daemon it is."""

    daemon_id: uuid.UUID


class Acquire(Body, frozen=True):
    """``claim`` is a fresh random id: asked again with the same one, the server answers with the same job."""

    daemon_id: uuid.UUID
    claim: uuid.UUID
    lease_seconds: Seconds


class Job(Answer, frozen=True):
    """A job that was given out. Its lease is the claim."""

    id: uuid.UUID
    job_type: str
    provisioner: str
    attempt: int
    plan_input: PlanInput
    archive_sha256: str
    archive_bytes: int
    log_count: int
    template_version_id: str


class Acquired(Answer, frozen=True):
    job: Job | None = None


class Wait(Body, frozen=True):
    """Answered when there is a job for a daemon with a free slot, when one of its jobs is to be canceled that is
    not among ``canceling``, or after ``seconds``.
    """

    daemon_id: uuid.UUID
    seconds: Annotated[float, Meta(ge=0, le=MAX_WAIT)]
    has_slot: bool
    canceling: Annotated[tuple[uuid.UUID, ...], Meta(max_length=1000)] = ()


class Waited(Answer, frozen=True):
    """``canceling`` are all of the daemon's jobs that are to be canceled."""

    work: bool = False
    canceling: tuple[uuid.UUID, ...] = ()


# ------------------------------------------------------------------ a job
class Heartbeat(Body, frozen=True):
    lease_seconds: Seconds


class Beaten(Answer, frozen=True):
    """``canceling``: the job is to be canceled."""

    canceling: bool


class Logs(Body, frozen=True):
    """Lines behind number ``after``. The same batch again adds nothing; one that leaves a gap is refused."""

    after: Count
    lines: Annotated[tuple[LogLine, ...], Meta(max_length=MAX_LINES)]


class Logged(Answer, frozen=True):
    """The number of the last line."""

    last: int


class Readme(Body, frozen=True):
    readme: str


class Schemas(Body, frozen=True):
    schemas: tuple[ParameterSchema, ...]


class Values(Answer, frozen=True):
    values: tuple[ParameterValue, ...]


class Complete(Body, frozen=True):
    """One of the two, as the type of the job wants it."""

    imported: ImportResult | None = None
    planned: PlanResult | None = None


class Fail(Body, frozen=True):
    error: str


class Cancel(Body, frozen=True):
    """Nothing to say."""


class Release(Body, frozen=True):
    reason: Annotated[str, Meta(max_length=1000)]


class Done(Answer, frozen=True):
    """Nothing to say."""


class Unreadable(Exception):
    """The bytes are not what was expected; the text says why."""


BodyT = TypeVar("BodyT", bound=Body)
AnswerT = TypeVar("AnswerT", bound=Answer)


def encode(body: Body | Answer) -> bytes:
    return msgspec.json.encode(body)


def decode(data: bytes, wanted: type[BodyT]) -> BodyT:
    """What a daemon says; a field that is not known, at any depth, is refused. Raises Unreadable."""
    body: BodyT = _decode(data, wanted)
    _refuse_unknown(msgspec.json.decode(data), msgspec.to_builtins(body), "$")
    return body


def decode_answer(data: bytes, wanted: type[AnswerT]) -> AnswerT:
    """What the server says. Raises Unreadable."""
    answer: AnswerT = _decode(data, wanted)
    return answer


def _decode(data: bytes, wanted: type[Any]) -> Any:
    try:
        return msgspec.json.decode(data, type=wanted)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from error


def _refuse_unknown(given: Any, understood: Any, path: str) -> None:
    """The shapes of the engine are plain dataclasses, which pass over fields that they do not know."""
    if isinstance(given, dict):
        for name, value in given.items():
            if name not in understood:
                raise Unreadable(f"unknown field - at `{path}.{name}`"[:200])
            _refuse_unknown(value, understood[name], f"{path}.{name}")
    elif isinstance(given, list):
        for index, value in enumerate(given):
            _refuse_unknown(value, understood[index], f"{path}[{index}]")
