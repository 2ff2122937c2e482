"""Running workspaces with an agent each, whose tokens are known, for ``tests.bench.connected``."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from coderproj.identity.models import Membership, User
from provisioning.models import ProvisionerJob, WorkspaceAgent, WorkspaceResource, hash_of_token
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from tests.bench.seed import BATCH, fixed, make_organization, make_template


def seed(count: int) -> list[str]:
    """Fill an empty database with workspaces of ``count`` users. Return the tokens of their agents."""
    organization = make_organization(0, "bench", is_default=True)
    author = User.objects.create(username="author", email="author@example.test", password="!")
    template = make_template(organization, author, 0, 1)
    began = datetime.now(UTC) - timedelta(hours=1)
    users = _create(User(username=f"user-{n}", email=f"user-{n}@example.test", password="!") for n in range(count))
    _create(Membership(organization=organization, user=user) for user in users)
    workspaces = _create(
        Workspace(
            name="dev",
            owner=user,
            organization=organization,
            template=template,
            ttl_ms=28_800_000,
            last_used_at=began,
        )
        for user in users
    )
    jobs = _create(
        ProvisionerJob(
            type="workspace_build",
            organization=organization,
            initiator=user,
            tags={"scope": "organization"},
            started_at=began,
            completed_at=began,
        )
        for user in users
    )
    builds = _create(
        WorkspaceBuild(
            workspace=workspace,
            build_number=1,
            template_version_id=template.active_version_id,
            transition="start",
            initiator_id=workspace.owner_id,
            job=job,
            deadline=began + timedelta(hours=8),
        )
        for workspace, job in zip(workspaces, jobs, strict=True)
    )
    for workspace, build in zip(workspaces, builds, strict=True):
        workspace.latest_build = build
    Workspace.objects.bulk_update(workspaces, ["latest_build"], batch_size=BATCH)
    resources = _create(
        WorkspaceResource(job=job, workspace_transition="start", type="docker_container", name="dev") for job in jobs
    )
    tokens = [fixed("token", n) for n in range(count)]
    _create(
        WorkspaceAgent(
            resource=resource,
            name="main",
            operating_system="linux",
            architecture="amd64",
            hashed_token=hash_of_token(token),
        )
        for resource, token in zip(resources, tokens, strict=True)
    )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
    return [str(token) for token in tokens]


def _create(rows: Iterator[Any]) -> list[Any]:
    listed = list(rows)
    return type(listed[0]).objects.bulk_create(listed, batch_size=BATCH)
