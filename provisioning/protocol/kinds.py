"""The job kinds: payload, result and functions of each.

An app declares its kinds in a module without Django, which runners and daemons on other machines import, and names that
list in its ``AppConfig`` ::

    contributions = {"job_kinds": "templates_app.job_kinds.KINDS"}

The server reads them with ``provisioning.queue.kinds``. A daemon gets the same dotted paths from the ``AppConfig``s if
it has Django, else from ``JOB_KINDS`` in ``provisioning.daemon.settings``; it passes them on to its runners. Functions
that only the server calls are named by dotted path, so that the module of kinds needs no Django.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Event
from typing import Any, Protocol

import msgspec

from provisioning.engine.base import Engine, LogLevel, ParameterSchema, ParameterValue


class RunningJob(Protocol):
    """The argument of a kind's ``run``, which runs in the runner."""

    @property
    def directory(self) -> Path:
        """The folder of the unpacked source; it is writable."""
        ...

    @property
    def engine(self) -> Engine: ...

    @property
    def stop(self) -> Event:
        """Set when the job must end early."""
        ...

    def open(self, stage: str, level: LogLevel = LogLevel.INFO) -> None:
        """Start a stage of the log."""
        ...

    def note(self, level: LogLevel, output: str) -> None:
        """Write a line of the daemon in the current stage."""
        ...

    def log(self, level: LogLevel, stage: str, output: str) -> None:
        """Write output of the engine (its ``log``)."""
        ...

    def measure(self, part: str) -> None:
        """Add the time since the last call to ``part``."""
        ...

    def check_canceled(self) -> None:
        """Raise Canceled when the job must end early."""
        ...

    def store_readme(self, readme: str) -> None:
        """Pass a readme to the kind's ``readme_found``."""
        ...

    def store_state(self, state: bytes) -> None:
        """Pass a state to the kind's ``state_found``. Returns before it is stored."""
        ...

    def commit_cost(self, cost: int) -> None:
        """Have the kind's ``cost_planned`` decide whether the job may make what costs this much, in credits a day; no
        cost is always allowed. Raises EngineError if it is too much, Canceled when the job must end early."""
        ...

    def compute_values(self, schemas: Sequence[ParameterSchema]) -> tuple[ParameterValue, ...]:
        """Store the template's variables and return their values. Raises Canceled when the job must end early."""
        ...


@dataclass(frozen=True, slots=True)
class Shape:
    """A type that msgspec encodes as JSON. ``name`` is its field in the bodies that daemons and the server exchange
    over HTTPS; kinds with the same type share it."""

    name: str
    type: type

    def decode(self, data: bytes | msgspec.Raw) -> Any:
        """Decode JSON. Raises msgspec.MsgspecError."""
        return msgspec.json.decode(data, type=self.type)


def _always(result: Any) -> bool:
    return True


def _no_values(payload: Any) -> Iterable[ParameterValue]:
    return ()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class JobKind:
    """One job kind. Functions that are named by dotted path run on the server.

    type: the value in the database and the API.
    label: the name of the kind on pages; ``choice_label`` is its name in the API schema, if different.
    stages: the stages of the log of a successful job, in order.
    payload: the input of a daemon besides the source; ``prepare(LeasedJob)`` creates it, and raises CannotRun.
    run: runs the job in a runner and returns the result. Without it, daemons fail such jobs.
    values: returns the values of variables in a payload; sensitive values are masked in the log.
    result: the type of the result; ``completed(job, result)`` stores it in the transaction that ends the job.
    has_followup: returns False for results that ``completed`` need not store: then one statement ends the job.
    readme_found: ``readme_found(job, readme)`` stores the readme; without it, readmes are dropped.
    state_found: ``state_found(job, state)`` stores a state, also after the job's lease has expired: what a job changed
    must not be lost. Without it, states are dropped.
    cost_planned: ``cost_planned(job, cost)`` decides whether the job may make what its plan costs, and returns a
    ``CostDecision``; it is called again if the answer was lost. Without it, every cost is allowed.
    changed: ``changed(job)`` is called in the transaction that requests the job's cancellation or ends it in any way,
    after ``completed``.
    applies: whether a job changes things outside. Such a job has the time limits of builds, is interrupted gently, and
    ends when its daemon does not confirm its lease.
    cancelable: ``cancelable(actor, jobs)`` returns the ids of those visible jobs that the actor may cancel; without it,
    all of them.
    is_repeatable: whether a job can run again after its daemon was lost.
    counts_as_run: whether a job counts as a developer's run in figures and statistics.
    """

    type: str
    label: str
    choice_label: str = ""
    stages: tuple[str, ...] = ()
    payload: Shape | None = None
    prepare: str = ""
    run: Callable[[RunningJob, Any], Any] | None = None
    values: Callable[[Any], Iterable[ParameterValue]] = _no_values
    result: Shape | None = None
    completed: str = ""
    has_followup: Callable[[Any], bool] = _always
    readme_found: str = ""
    state_found: str = ""
    cost_planned: str = ""
    changed: str = ""
    applies: bool = False
    cancelable: str = ""
    is_repeatable: bool = False
    counts_as_run: bool = False

    def __post_init__(self) -> None:
        if self.run is not None and not (self.payload and self.prepare and self.result):
            raise ValueError(f"the job kind {self.type} runs: it needs payload, prepare and result")


class JobKinds:
    """The table of all kinds. Raises ValueError for a type that is declared twice and for a shape with two types."""

    def __init__(self, declared: Iterable[JobKind]) -> None:
        self._by_type: dict[str, JobKind] = {}
        self._returning: dict[type, list[JobKind]] = {}
        for kind in declared:
            if kind.type in self._by_type:
                raise ValueError(f"the job kind {kind.type} is declared twice")
            self._by_type[kind.type] = kind
            if kind.result is not None:
                self._returning.setdefault(kind.result.type, []).append(kind)
        self.payloads = _by_name(kind.payload for kind in self)
        self.results = _by_name(kind.result for kind in self)
        self.run_types = [kind.type for kind in self if kind.counts_as_run]
        self.applying_types = [kind.type for kind in self if kind.applies]

    def __iter__(self) -> Iterator[JobKind]:
        return iter(self._by_type.values())

    def of(self, job_type: str) -> JobKind:
        """Return the kind of this type. If no app declares the type, the kind has no functions."""
        return self._by_type.get(job_type) or JobKind(type=job_type, label=job_type)

    def returning(self, result: Any) -> Sequence[JobKind]:
        """Return the kinds whose jobs return results of this type."""
        return self._returning.get(type(result), ())


def cannot_run(job_type: str) -> str:
    """Return why a job of this type fails if its kind has no ``run``. The text is for users."""
    return f"this daemon cannot run jobs of type {job_type}"


def _by_name(shapes: Iterable[Shape | None]) -> Mapping[str, type]:
    """Return the types of these shapes by name. Raises ValueError for a name with two types."""
    found: dict[str, type] = {}
    for shape in shapes:
        if shape is not None and found.setdefault(shape.name, shape.type) is not shape.type:
            raise ValueError(f"the shape {shape.name} has two types")
    return found


@cache
def load(paths: tuple[str, ...]) -> JobKinds:
    """Return the table of the kinds in the lists with these dotted paths. Raises ImportError."""
    declared: list[JobKind] = []
    for path in paths:
        module, _, name = path.rpartition(".")
        try:
            declared += getattr(import_module(module), name)
        except AttributeError:
            raise ImportError(f"the module {module} has no {name}") from None
    return JobKinds(declared)
