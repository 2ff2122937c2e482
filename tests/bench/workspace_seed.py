"""Fixed data for the benchmarks of workspaces: 1,000 of one template, with three builds each, an agent and an app."""

import hashlib
import uuid
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db import connection

from coderproj.identity.models import ApiKey, Membership, User
from provisioning.models import ProvisionerJob, WorkspaceAgent, WorkspaceApp, WorkspaceResource
from templates_app.workspaces import events
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from tests.bench.seed import BATCH, SECRET, START, fixed, make_organization, make_template

WORKSPACES, BUILDS, WATCHED, OWNERS = 1_000, 3, 500, 50


class SeededWorkspaces(NamedTuple):
    """``token`` is that of an owner of the site; ``tokens`` are those of the owners who watch."""

    token: str
    tokens: list[str]
    workspaces: list[uuid.UUID]
    watched: list[uuid.UUID]


def seed() -> SeededWorkspaces:
    """Fill an empty database."""
    organization = make_organization(0, "bench", is_default=True)
    users = User.objects.bulk_create(
        User(
            id=fixed("user", n),
            username=f"user-{n}",
            email=f"user-{n}@example.test",
            password="!",
            site_roles=["owner"],
        )
        for n in range(OWNERS)
    )
    Membership.objects.bulk_create(Membership(organization=organization, user=user) for user in users)
    hashed, now = hashlib.sha256(SECRET.encode()).digest(), datetime.now(UTC)
    ApiKey.objects.bulk_create(
        ApiKey(
            id=f"key{n:07}",
            hashed_secret=hashed,
            user=user,
            lifetime_seconds=86_400,
            last_used=now,
            expires_at=now + timedelta(days=1),
        )
        for n, user in enumerate(users)
    )
    template = make_template(organization, users[0], 0, 2)
    template.name = "web"
    template.save()
    rows = Workspace.objects.bulk_create(
        Workspace(
            id=fixed("workspace", n),
            name=f"w-{n}",
            owner=users[n % OWNERS],
            organization=organization,
            template=template,
            ttl_ms=28_800_000,
            last_used_at=START + timedelta(minutes=n),
        )
        for n in range(WORKSPACES)
    )
    for number in range(1, BUILDS + 1):
        latest = _add_builds(rows, template.active_version_id, number)
    for row, build in zip(rows, latest, strict=True):
        row.latest_build = build
    Workspace.objects.bulk_update(rows, ["latest_build"], batch_size=BATCH)
    _add_resources([build.job for build in latest])
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
    tokens = [f"key{n:07}-{SECRET}" for n in range(OWNERS)]
    ids = [row.pk for row in rows]
    return SeededWorkspaces(tokens[0], tokens, ids, ids[:WATCHED])


def _add_builds(rows: list[Workspace], version_id: uuid.UUID, number: int) -> list[WorkspaceBuild]:
    began = START + timedelta(hours=number)
    jobs = ProvisionerJob.objects.bulk_create(
        (
            ProvisionerJob(
                id=fixed(f"build job {number}", n),
                type="workspace_build",
                organization_id=row.organization_id,
                initiator_id=row.owner_id,
                tags={"scope": "organization"},
                started_at=began,
                completed_at=began + timedelta(seconds=3),
            )
            for n, row in enumerate(rows)
        ),
        batch_size=BATCH,
    )
    return WorkspaceBuild.objects.bulk_create(
        (
            WorkspaceBuild(
                id=fixed(f"build {number}", n),
                workspace=row,
                build_number=number,
                template_version_id=version_id,
                transition="start",
                initiator_id=row.owner_id,
                job=job,
                deadline=began + timedelta(hours=8),
            )
            for n, (row, job) in enumerate(zip(rows, jobs, strict=True))
        ),
        batch_size=BATCH,
    )


def _add_resources(jobs: list[ProvisionerJob]) -> None:
    resources = WorkspaceResource.objects.bulk_create(
        (
            WorkspaceResource(job=job, workspace_transition="start", type="docker_container", name=name, position=place)
            for job in jobs
            for place, name in enumerate(("home", "machine"))
        ),
        batch_size=BATCH,
    )
    agents = WorkspaceAgent.objects.bulk_create(
        (
            WorkspaceAgent(resource=resource, name="main", operating_system="linux", architecture="amd64")
            for resource in resources
            if resource.name == "machine"
        ),
        batch_size=BATCH,
    )
    WorkspaceApp.objects.bulk_create(
        (WorkspaceApp(agent=agent, slug="code", display_name="Code", url="http://localhost:13337") for agent in agents),
        batch_size=BATCH,
    )


def statements() -> int:
    """Return how many statements of clients the database has run, without this one and its transaction's."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")
        found: int = cursor.fetchone()[0]
    connection.close()
    return found


def announce(workspace_id: uuid.UUID) -> None:
    events.announce(workspace_id)
    connection.close()
