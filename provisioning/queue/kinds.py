"""The table of job kinds on the server: what the installed apps declare."""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.utils.module_loading import import_string

from coderproj.base.contributions import contributions
from provisioning.models import ProvisionerJob
from provisioning.protocol.kinds import JobKind, JobKinds


def kinds() -> JobKinds:
    """Every kind of the installed apps. Raises ImportError, and ValueError for a type that is declared twice."""
    return _table(contributions("job_kinds"))


@cache
def _table(declared: tuple[JobKind, ...]) -> JobKinds:
    return JobKinds(declared)


@cache
def function(path: str) -> Callable[..., Any]:
    """The function that a kind names by dotted path. Raises ImportError."""
    found: Callable[..., Any] = import_string(path)
    return found


def kind_of(job: ProvisionerJob) -> JobKind:
    return kinds().of(job.type)


def is_run_sql(column: str) -> str:
    """SQL for: the type in this column is that of a developer's run. In constants, since with parameters a prepared
    statement would not use the index ``provisioning_job_runs``."""
    constants = ", ".join(f"'{job_type}'" for job_type in kinds().run_types)
    return f"{column} IN ({constants})"


def labels() -> list[tuple[str, str]]:
    """Types with what pages call them."""
    return [(kind.type, kind.label) for kind in kinds()]


def types() -> list[tuple[str, str]]:
    """Types as choices of a filter."""
    return [(kind.type, kind.type) for kind in kinds()]
