"""What a daemon and the server say to each other over HTTPS: JSON bodies, decoded strictly.

No Django here: the daemon imports it. Below ``/api/v2/provisionerdaemons/`` every call is a POST but the archive's,
a key travels in ``KEY_HEADER``, and a call about a job carries its lease in ``LEASE_HEADER``.
"""

import uuid
from functools import cache
from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import Meta

from provisioning.engine.base import LogLine, ParameterSchema, ParameterValue
from provisioning.protocol.kinds import JobKinds

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


class Job(Answer, frozen=True, kw_only=True):
    """A job that was given out. Its lease is the claim."""

    id: uuid.UUID
    job_type: str
    provisioner: str
    attempt: int
    # Here ``job_type`` adds a field for each shape of payload.
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

    # ``complete_type`` adds a field for each shape of result.


class Fail(Body, frozen=True):
    error: str


class Cancel(Body, frozen=True):
    """Nothing to say."""


class Release(Body, frozen=True):
    reason: Annotated[str, Meta(max_length=1000)]


class Done(Answer, frozen=True):
    """Nothing to say."""


# ------------------------------------------------------------------ shapes that follow from the job kinds
@cache
def job_type(kinds: JobKinds, *, lenient: bool = False) -> type[Any]:
    """``Job`` for jobs of these kinds: their payload is in the field that its shape names, which is required where
    it is the only one. ``lenient`` accepts jobs of unknown kinds, without their payload.
    """
    payloads: list[Any] = list(kinds.payloads.items())
    if lenient or len(payloads) > 1:
        payloads = [(name, shape | msgspec.UnsetType, msgspec.UNSET) for name, shape in payloads]
    fields: list[Any] = []
    for entry in msgspec.structs.fields(Job):
        fields += (
            [*payloads, (entry.name, entry.type)] if entry.name == "archive_sha256" else [(entry.name, entry.type)]
        )
    doc = {"__doc__": Job.__doc__}
    return msgspec.defstruct("Job", fields, bases=(Answer,), namespace=doc, frozen=True, kw_only=True)


@cache
def acquired_type(kinds: JobKinds, *, lenient: bool = False) -> type[Acquired]:
    """``Acquired`` with such a job."""
    job: Any = job_type(kinds, lenient=lenient)
    made = msgspec.defstruct("Acquired", [("job", job | None, None)], bases=(Acquired,), frozen=True)
    return cast("type[Acquired]", made)


@cache
def complete_type(kinds: JobKinds) -> type[Complete]:
    """``Complete`` with the results of these kinds, one of which a daemon sends."""
    fields = [(name, shape | None, None) for name, shape in kinds.results.items()]
    doc = {"__doc__": Complete.__doc__}
    made = msgspec.defstruct("Complete", fields, bases=(Complete,), namespace=doc, frozen=True)
    return cast("type[Complete]", made)


def acquired(kinds: JobKinds, payload: Any, **facts: Any) -> Acquired:
    """The answer to a daemon that gets a job. ``facts`` are the fields of ``Job``."""
    shape = kinds.of(facts["job_type"]).payload
    payloads = {shape.name: payload} if shape else {}
    return acquired_type(kinds)(job_type(kinds)(**facts, **payloads))


def payload_of(job: Job, kinds: JobKinds) -> Any:
    """The payload of an acquired job; None for one of a kind that this daemon does not run."""
    kind = kinds.of(job.job_type)
    if kind.run is None or kind.payload is None:
        return None
    payload = getattr(job, kind.payload.name)
    return None if payload is msgspec.UNSET else payload


def completion(result: Any, kinds: JobKinds) -> Complete:
    """What a daemon sends to complete a job. Raises TypeError for a result of no kind."""
    for kind in kinds.returning(result):
        if kind.result is not None:
            return complete_type(kinds)(**{kind.result.name: result})
    raise TypeError(f"no job kind returns a {type(result).__name__}")


def result_of(body: Complete, kinds: JobKinds) -> Any:
    """The result that a daemon sent. Raises Unreadable unless there is exactly one."""
    given = [result for name in kinds.results if (result := getattr(body, name)) is not None]
    if len(given) != 1:
        raise Unreadable("expected one result")
    return given[0]


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
