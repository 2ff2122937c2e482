"""The table of job kinds on the server, declared by the installed apps."""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.utils.module_loading import import_string

from coderproj.base.contributions import contributions
from provisioning.models import ProvisionerJob
from provisioning.protocol.kinds import JobKind, JobKinds


def kinds() -> JobKinds:
    """Return all kinds of the installed apps. Raises ImportError, and ValueError for a type that is declared twice."""
    return _table(contributions("job_kinds"))


@cache
def _table(declared: tuple[JobKind, ...]) -> JobKinds:
    return JobKinds(declared)


@cache
def function(path: str) -> Callable[..., Any]:
    """Return the function that a kind names by dotted path. Raises ImportError."""
    found: Callable[..., Any] = import_string(path)
    return found


def kind_of(job: ProvisionerJob) -> JobKind:
    return kinds().of(job.type)


def is_run_sql(column: str) -> str:
    """Return SQL that is true if the type in this column is that of a developer's run. It contains constants, so that
    PostgreSQL knows how many rows have these types when it plans a prepared statement."""
    constants = ", ".join(f"'{job_type}'" for job_type in kinds().run_types)
    return f"{column} IN ({constants})"


def labels() -> list[tuple[str, str]]:
    """Return the types with their labels on pages."""
    return [(kind.type, kind.label) for kind in kinds()]


def types() -> list[tuple[str, str]]:
    """Return the types as choices of a filter."""
    return [(kind.type, kind.type) for kind in kinds()]
