"""Fills an empty deployment."""

import gc
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from django.db import connection, transaction

from coderproj.database.clock import database_time
from coderproj.demo.data.allowances import allow
from coderproj.demo.data.chance import Chance
from coderproj.demo.data.history import History
from coderproj.demo.data.jobs import TAGS, Jobs
from coderproj.demo.data.people import People, make
from coderproj.demo.data.storing import copy, copy_values
from coderproj.demo.data.templates import Templates
from coderproj.demo.data.workspaces import PARAMETER_COLUMNS, REPORT_COLUMNS, Workspaces
from coderproj.demo.errors import DemoFailedError
from coderproj.identity.models import AuditLog, Group, Membership, Organization, User
from coderproj.management import first_user
from provisioning.models import ProvisionerJob, ProvisionerJobLog
from templates_app.agents.models import AgentStatistic
from templates_app.agents.services.refreshing import refresh, start_again
from templates_app.models import StatisticsProgress, Template, TemplateVersion
from templates_app.statistics.progress import ROW
from templates_app.workspaces import due
from templates_app.workspaces.models import BuildParameter, Workspace, WorkspaceBuild

# Seconds to wait for a worker that counts at the moment.
WORKER_SECONDS = 120.0
LOG_COLUMNS = ("job_id", "id", "created_at", "source", "level", "stage", "output")


class Progress(Protocol):
    """What shows the steps."""

    def step(self, name: str) -> AbstractContextManager[None]: ...


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much to make. The builds are those of the last ``days``."""

    templates: int = 30
    versions: int = 200
    users: int = 400
    workspaces: int = 430
    dry_runs: int = 600
    days: int = 90


def fill(show: Progress, *, seed: int, sizes: Sizes | None = None, now: datetime | None = None) -> None:
    """Fill the deployment, all in one transaction, and count the statistics.

    Raises DemoFailedError, with the reason, if the database has templates, workspaces or users besides the first."""
    require_empty()
    sizes = sizes or Sizes()
    if first_user.first_owner() is None:
        first_user.create()
    organization = Organization.objects.get(is_default=True)
    now = now or database_time()
    chance = Chance(seed)
    with show.step(f"Think up {sizes.users} users, {sizes.templates} templates and {sizes.days} days"), _without_gc():
        people = make(chance, now, organization, sizes.users)
        jobs = Jobs(chance, organization.pk)
        templates = Templates(chance, now, people, organization.pk, jobs)
        templates.make(sizes.templates, sizes.versions)
        templates.dry_run(sizes.dry_runs, sizes.days)
        workspaces = Workspaces(chance, now, people, templates.lines, jobs)
        workspaces.make(sizes.workspaces, sizes.days)
        allow(people, workspaces.lives)
        history = list(History(chance, now, organization.pk).rows(people, templates, workspaces))
    with transaction.atomic():
        _lock()
        require_empty()
        for name, rows in _tables(people, templates, jobs, workspaces, history):
            with show.step(f"Store {len(rows):,} {name}"):
                copy(rows)
        for name, table, columns, values in (
            ("values of parameters", BuildParameter._meta.db_table, PARAMETER_COLUMNS, workspaces.parameters),
            ("reports of agents", AgentStatistic._meta.db_table, REPORT_COLUMNS, workspaces.reports),
            ("lines of logs", ProvisionerJobLog._meta.db_table, LOG_COLUMNS, jobs.lines),
        ):
            with show.step(f"Store {len(values):,} {name}"):
                copy_values(table, columns, values)
        Group.objects.filter(pk=people.everyone.pk).update(quota_allowance=people.everyone.quota_allowance)
        with show.step("Set when workspaces start and stop"):
            _store_workspaces(workspaces)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with show.step("Count the statistics"):
        count()


@contextmanager
def _without_gc() -> Iterator[None]:
    """Create many objects without searching all of them for garbage again and again: a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def require_empty() -> None:
    """Raise DemoFailedError if the deployment is in use."""
    found = {
        "templates": Template.objects.count(),
        "versions": TemplateVersion.objects.count(),
        "workspaces": Workspace.objects.count(),
        "users besides the first": max(User.objects.existing().count() - 1, 0),
    }
    named = [f"{number:,} {name}" for name, number in found.items() if number]
    if named:
        raise DemoFailedError(
            f"The database has {', '.join(named)}. The data is only for an empty deployment, and nothing was changed. "
            "Use another one: CODERPROJ_DATA_DIR=/path/to/an/empty/folder, or an empty database in DATABASE_URL."
        )


def is_filled() -> bool:
    """Return True if the database has this data and no other templates."""
    versions = TemplateVersion.objects.all()
    return versions.exists() and not versions.exclude(job__tags__contains={"site": TAGS["site"]}).exists()


def _lock() -> None:
    """Let two fillings run one after the other. The second one finds that the database is not empty."""
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE templates_app_template IN SHARE ROW EXCLUSIVE MODE")


def _tables(
    people: People, templates: Templates, jobs: Jobs, workspaces: Workspaces, history: list[AuditLog]
) -> Iterator[tuple[str, list[Any]]]:
    """Yield all rows but the workspaces, with what they are. Foreign keys are checked at the commit."""
    yield "users", [person.user for person in people.persons]
    yield "members", people.memberships
    yield "groups", people.groups
    yield "members of groups", people.members
    yield "archives", templates.files
    yield "jobs", jobs.rows
    yield "templates", [line.template for line in templates.lines]
    yield "versions", [version for line in templates.lines for version in line.versions]
    yield "variables", templates.schemas
    yield "rich parameters", templates.parameters
    yield "entries of access lists", templates.access
    yield "builds", workspaces.builds
    yield "resources", templates.resources + workspaces.resources
    yield "items of metadata", workspaces.metadata
    yield "agents", workspaces.agents
    yield "apps", workspaces.apps
    yield "times of agents", workspaces.times
    yield "days of users", list(workspaces.daily_users())
    yield "rows of the audit log", history


def _store_workspaces(workspaces: Workspaces) -> None:
    """Store the workspaces with the time at which each is due. It can depend on stored builds, so they come last."""
    rows = [life.workspace for life in workspaces.lives]
    for workspace in rows:
        workspace.due_at = due.due_at(workspace, workspace.latest_build)
    copy(rows)


def count() -> None:
    """Count everything that was stored, although a worker has looked at these days before. Waits while it counts."""
    until = time.monotonic() + WORKER_SECONDS
    begun = database_time()
    while not start_again() and time.monotonic() < until:
        time.sleep(0.2)
    while time.monotonic() < until:
        refresh(lambda: False, calculate=True)
        if StatisticsProgress.objects.filter(pk=ROW, until__gte=begun).exists():
            return
        time.sleep(0.2)
    raise DemoFailedError("The data is stored, but a worker still counts the statistics.")


def figures() -> list[tuple[str, str]]:
    """Return the numbers of rows, for people."""
    found = {
        "Users": User.objects.count(),
        "Members": Membership.objects.count(),
        "Groups": Group.objects.count(),
        "Templates": Template.objects.count(),
        "Versions": TemplateVersion.objects.count(),
        "Workspaces": Workspace.objects.existing().count(),
        "Builds": WorkspaceBuild.objects.count(),
        "Jobs": ProvisionerJob.objects.count(),
        "Rows of the audit log": AuditLog.objects.count(),
    }
    return [(name, f"{number:,}") for name, number in found.items()]
