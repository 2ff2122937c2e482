"""Automatic builds of 10,000 scheduled workspaces: one pass of the executor, and how late a real worker is.

``python -m tests.bench.executor`` prints the figures as JSON.
"""

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

from tests.bench.database import own_database

SCHEDULED, DUE, BATCH = 10_000, 50, 1_000
# Workspaces that become due one after the other while a worker runs, and the seconds that this takes.
SPREAD, SPREAD_SECONDS = 60, 30
WARM_UP_SECONDS = 5
# Workspaces that become due at the same moment, such as nine o'clock.
AT_ONCE = 2_000


def main() -> None:
    with own_database():
        print(json.dumps(measure()))


def measure() -> dict[str, Any]:
    """Return seconds of a pass without work (``idle``), with DUE builds (``busy``) and of all passes for AT_ONCE builds
    (``at_once``), the ``statements`` of a pass without work, and the lateness of a worker's builds in seconds
    (``latest``, ``median``)."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from templates_app.workspaces import executor

    ids = seed()
    with CaptureQueriesContext(connection) as queries:
        executor.run()
    idle = min(seconds_of(executor.run) for _ in range(20))
    make_due(ids[:DUE], timedelta(0), timedelta(0))
    busy = seconds_of(executor.run)
    late = lateness(ids[DUE : DUE + SPREAD])
    make_due_at_once(ids[-AT_ONCE:])
    at_once = seconds_of(run_until_done)
    return {
        "idle": idle,
        "busy": busy,
        "at_once": at_once,
        "statements": len(queries),
        "latest": late[-1],
        "median": late[len(late) // 2],
    }


def run_until_done() -> None:
    """Run passes as a worker does, until nothing is due."""
    from templates_app.workspaces import executor
    from templates_app.workspaces.models import WorkspaceBuild

    before = WorkspaceBuild.objects.filter(reason="autostop").count()
    while executor.run().due:
        pass
    assert WorkspaceBuild.objects.filter(reason="autostop").count() - before == AT_ONCE


def seconds_of(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def seed() -> list[Any]:
    """Create running workspaces with a schedule and a deadline in a day. Return their ids."""
    from django.utils import timezone

    from provisioning.models import ProvisionerJob
    from templates_app.workspaces.job_kinds import BUILD_TYPE
    from templates_app.workspaces.models import Workspace, WorkspaceBuild
    from tests.factories import make_organization, make_template, make_user

    organization = make_organization("bench", is_default=True)
    owner = make_user("owner", organizations=(organization,), site_roles=("owner",))
    template = make_template(user=owner, organization=organization)
    version = template.active_version
    now, later = timezone.now(), timezone.now() + timedelta(days=1)
    jobs = ProvisionerJob.objects.bulk_create(
        (
            ProvisionerJob(
                type=BUILD_TYPE,
                organization=organization,
                initiator=owner,
                provisioner=version.job.provisioner,
                file_id=version.job.file_id,
                started_at=now,
                completed_at=now,
            )
            for _ in range(SCHEDULED)
        ),
        batch_size=BATCH,
    )
    workspaces = Workspace.objects.bulk_create(
        (
            Workspace(
                name=f"dev-{number}",
                owner=owner,
                organization=organization,
                template=template,
                autostart_schedule="CRON_TZ=Europe/Dublin 30 9 * * 1-5",
                schedule_set_at=now,
                ttl_ms=8 * 3_600_000,
                due_at=later,
            )
            for number in range(SCHEDULED)
        ),
        batch_size=BATCH,
    )
    builds = WorkspaceBuild.objects.bulk_create(
        (
            WorkspaceBuild(
                workspace=workspace,
                build_number=1,
                template_version=version,
                transition="start",
                initiator=owner,
                job=job,
                deadline=later,
            )
            for workspace, job in zip(workspaces, jobs, strict=True)
        ),
        batch_size=BATCH,
    )
    for workspace, build in zip(workspaces, builds, strict=True):
        workspace.latest_build = build
    Workspace.objects.bulk_update(workspaces, ["latest_build"], batch_size=BATCH)
    return [workspace.pk for workspace in workspaces]


def make_due(ids: list[Any], first: timedelta, step: timedelta) -> None:
    """Make workspaces due: the first one ``first`` from now, each further one ``step`` later."""
    from coderproj.database.clock import database_time
    from templates_app.workspaces.models import Workspace, WorkspaceBuild

    now = database_time()
    for number, workspace_id in enumerate(ids):
        moment = now + first + number * step
        WorkspaceBuild.objects.filter(workspace=workspace_id).update(deadline=moment)
        Workspace.objects.filter(pk=workspace_id).update(due_at=moment)


def make_due_at_once(ids: list[Any]) -> None:
    """Make workspaces due now."""
    from coderproj.database.clock import database_time
    from templates_app.workspaces.models import Workspace, WorkspaceBuild

    now = database_time()
    WorkspaceBuild.objects.filter(workspace__in=ids).update(deadline=now)
    Workspace.objects.filter(pk__in=ids).update(due_at=now)


def lateness(ids: list[Any]) -> list[float]:
    """Run a worker while workspaces become due. Return the seconds from each due time to its build, sorted."""
    from templates_app.workspaces.models import Workspace, WorkspaceBuild

    with subprocess.Popen([sys.executable, "manage.py", "worker"], stderr=subprocess.DEVNULL) as worker:
        try:
            make_due(ids, timedelta(seconds=WARM_UP_SECONDS), timedelta(seconds=SPREAD_SECONDS / SPREAD))
            made = WorkspaceBuild.objects.filter(workspace__in=ids, reason="autostop")
            deadline = time.monotonic() + WARM_UP_SECONDS + SPREAD_SECONDS + 60
            while made.count() < len(ids) and time.monotonic() < deadline:
                time.sleep(0.2)
        finally:
            worker.terminate()
            worker.wait(20)
    due = dict(Workspace.objects.filter(pk__in=ids).values_list("pk", "last_due_at"))
    found = [(row.created_at - due[row.workspace_id]).total_seconds() for row in made]
    assert len(found) == len(ids), f"{len(found)} of {len(ids)} builds"
    return sorted(found)


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    main()
