"""The HTTPS protocol between daemons and the server: JSON bodies, decoded strictly.

No Django here: the daemon imports this module. All calls below ``/api/v2/provisionerdaemons/`` are POST requests,
except the archive's GET. The key is in ``KEY_HEADER``; calls about a job have its lease in ``LEASE_HEADER``.
"""

import uuid
from functools import cache
from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import Meta

from provisioning.engine.base import MAX_STATE, CostDecision, Entries, LogLine, ParameterSchema, ParameterValue
from provisioning.protocol.kinds import JobKinds

KEY_HEADER = "Coder-Provisioner-Key"
LEASE_HEADER = "Coder-Provisioner-Lease"
PATH = "/api/v2/provisionerdaemons"

# Maximum size of a message from a runner to its supervisor.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
# Bodies about a job contain such a message and some overhead.
MAX_LARGE_BYTES = MAX_MESSAGE_BYTES + 64 * 1024
MAX_SMALL_BYTES = 64 * 1024
# The longest wait in seconds.
MAX_WAIT = 25.0
MAX_LINES = 10_000
MAX_README_CHARACTERS = 1024 * 1024
MAX_ERROR_CHARACTERS = 64 * 1024
# In credits a day.
MAX_COST = 2**63 - 1

Name = Annotated[str, Meta(min_length=1, max_length=64)]
# The name of an engine.
Provisioner = Annotated[str, Meta(min_length=1, max_length=16, pattern="^[A-Za-z0-9_.-]+$")]
Text = Annotated[str, Meta(max_length=255)]
Seconds = Annotated[float, Meta(ge=1, le=300)]
Count = Annotated[int, Meta(ge=0, le=2**53)]


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of bodies from daemons."""


class Answer(msgspec.Struct, frozen=True):
    """The base of the server's answers. Unknown fields are ignored: a newer server may send more."""


# ------------------------------------------------------------------ the daemon
class Register(Body, frozen=True):
    """The description of a daemon. Its tags are those of its key."""

    name: Name
    provisioners: Annotated[tuple[Provisioner, ...], Meta(min_length=1, max_length=8)]
    concurrency: Annotated[int, Meta(ge=1, le=1000)]
    version: Annotated[str, Meta(max_length=64)] = ""
    hostname: Text = ""
    engine: Annotated[str, Meta(max_length=128)] = ""
    sandbox: Annotated[str, Meta(max_length=64)] = ""


class Registered(Answer, frozen=True):
    id: uuid.UUID
    tags: dict[str, str]


class Daemon(Body, frozen=True):
    """The id of the daemon."""

    daemon_id: uuid.UUID


class Acquire(Body, frozen=True):
    """``claim`` is a new random id. A repeated request with the same id returns the same job."""

    daemon_id: uuid.UUID
    claim: uuid.UUID
    lease_seconds: Seconds


class Job(Answer, frozen=True, kw_only=True):
    """A claimed job. The claim's id is its lease."""

    id: uuid.UUID
    job_type: str
    provisioner: str
    attempt: int
    # ``job_type`` adds a field here for each payload shape.
    archive_sha256: str
    archive_bytes: int
    log_count: int
    template_version_id: str


class Acquired(Answer, frozen=True):
    job: Job | None = None


class Wait(Body, frozen=True):
    """Answered when a job is waiting and the daemon has a free worker slot, when one of its jobs that is not among
    ``canceling`` must be canceled, or after ``seconds``.
    """

    daemon_id: uuid.UUID
    seconds: Annotated[float, Meta(ge=0, le=MAX_WAIT)]
    has_slot: bool
    canceling: Annotated[tuple[uuid.UUID, ...], Meta(max_length=1000)] = ()


class WaitReply(Answer, frozen=True):
    """``work``: a matching job is waiting. ``canceling``: all of the daemon's jobs that must be canceled."""

    work: bool = False
    canceling: tuple[uuid.UUID, ...] = ()


# ------------------------------------------------------------------ a job
class Heartbeat(Body, frozen=True):
    lease_seconds: Seconds


class HeartbeatReply(Answer, frozen=True):
    """``canceling``: the job must be canceled."""

    canceling: bool


class Logs(Body, frozen=True):
    """Lines after line number ``after``. A repeated batch adds nothing; a batch that leaves a gap is rejected."""

    after: Count
    lines: Annotated[tuple[LogLine, ...], Meta(max_length=MAX_LINES)]


class Logged(Answer, frozen=True):
    """The number of the last line."""

    last: int


class Readme(Body, frozen=True):
    readme: Annotated[str, Meta(max_length=MAX_README_CHARACTERS)]


class Schemas(Body, frozen=True):
    schemas: Annotated[tuple[ParameterSchema, ...], Entries]


class Values(Answer, frozen=True):
    values: tuple[ParameterValue, ...]


class State(Body, frozen=True):
    """The state of what a build changed: base64 in JSON. ``last``: the build's process has ended, so no other state
    follows."""

    state: Annotated[bytes, Meta(max_length=MAX_STATE)]
    last: bool = False


class StateStored(Answer, frozen=True):
    """``late``: the state was stored, although the lease is not valid any more."""

    late: bool = False


class Cost(Body, frozen=True):
    """What the plan of a build costs, in credits a day."""

    cost: Annotated[int, Meta(ge=0, le=MAX_COST)]


class CostDecided(Answer, frozen=True):
    decision: CostDecision


class Complete(Body, frozen=True):
    """The result of the job, in the field for its kind."""

    # ``complete_type`` adds a field for each shape of result.


class Fail(Body, frozen=True):
    error: Annotated[str, Meta(max_length=MAX_ERROR_CHARACTERS)]


class Cancel(Body, frozen=True):
    """An empty object."""


class Release(Body, frozen=True):
    reason: Annotated[str, Meta(max_length=1000)]


class Done(Answer, frozen=True):
    """An empty object."""


# ------------------------------------------------------------------ shapes that follow from the job kinds
@cache
def job_type(kinds: JobKinds, *, lenient: bool = False) -> type[Any]:
    """Return ``Job`` for these kinds, with the payload in the field named by its shape. The field is required if it is
    the only one. ``lenient`` accepts jobs of unknown kinds, without their payload.
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
    """Return ``Acquired`` for jobs of these kinds."""
    job: Any = job_type(kinds, lenient=lenient)
    made = msgspec.defstruct("Acquired", [("job", job | None, None)], bases=(Acquired,), frozen=True)
    return cast("type[Acquired]", made)


@cache
def complete_type(kinds: JobKinds) -> type[Complete]:
    """Return ``Complete`` with a field for each result of these kinds; a daemon sends one of them."""
    fields = [(name, shape | None, None) for name, shape in kinds.results.items()]
    doc = {"__doc__": Complete.__doc__}
    made = msgspec.defstruct("Complete", fields, bases=(Complete,), namespace=doc, frozen=True)
    return cast("type[Complete]", made)


def acquired(kinds: JobKinds, payload: Any, **facts: Any) -> Acquired:
    """Return the answer with a claimed job. ``facts`` are the fields of ``Job``."""
    shape = kinds.of(facts["job_type"]).payload
    payloads = {shape.name: payload} if shape else {}
    return acquired_type(kinds)(job_type(kinds)(**facts, **payloads))


def payload_of(job: Job, kinds: JobKinds) -> Any:
    """Return the payload of a claimed job; None for a kind that this daemon does not run."""
    kind = kinds.of(job.job_type)
    if kind.run is None or kind.payload is None:
        return None
    payload = getattr(job, kind.payload.name)
    return None if payload is msgspec.UNSET else payload


def completion(result: Any, kinds: JobKinds) -> Complete:
    """Return the body that completes a job. Raises TypeError for a result of no kind."""
    for kind in kinds.returning(result):
        if kind.result is not None:
            return complete_type(kinds)(**{kind.result.name: result})
    raise TypeError(f"no job kind returns a {type(result).__name__}")


def result_of(body: Complete, kinds: JobKinds) -> Any:
    """Return the result that a daemon sent. Raises Unreadable unless there is exactly one."""
    given = [result for name in kinds.results if (result := getattr(body, name)) is not None]
    if len(given) != 1:
        raise Unreadable("expected one result")
    return given[0]


class Unreadable(Exception):
    """The data does not have the expected form; the message is the reason."""


BodyT = TypeVar("BodyT", bound=Body)
AnswerT = TypeVar("AnswerT", bound=Answer)


def encode(body: Body | Answer) -> bytes:
    return msgspec.json.encode(body)


def decode(data: bytes, wanted: type[BodyT]) -> BodyT:
    """Decode a body from a daemon. Raises Unreadable, also for an unknown field at any depth."""
    body: BodyT = _decode(data, wanted)
    _reject_unknown(msgspec.json.decode(data), msgspec.to_builtins(body), "$")
    return body


def decode_answer(data: bytes, wanted: type[AnswerT]) -> AnswerT:
    """Decode an answer of the server. Raises Unreadable."""
    answer: AnswerT = _decode(data, wanted)
    return answer


def _decode(data: bytes, wanted: type[Any]) -> Any:
    try:
        return msgspec.json.decode(data, type=wanted)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from error


def _reject_unknown(given: Any, understood: Any, path: str) -> None:
    """Reject unknown fields: msgspec ignores them in the engine's types, which are plain dataclasses."""
    if isinstance(given, dict):
        for name, value in given.items():
            if name not in understood:
                raise Unreadable(f"unknown field - at `{path}.{name}`"[:200])
            _reject_unknown(value, understood[name], f"{path}.{name}")
    elif isinstance(given, list):
        for index, value in enumerate(given):
            _reject_unknown(value, understood[index], f"{path}[{index}]")
