"""Workspaces as rows, for tests that need many: each build has ended, with resources, parameters and a log."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from coderproj.identity.models import User
from provisioning.engine import base
from provisioning.log import writing
from provisioning.models import ProvisionerJob
from provisioning.results import store_resources
from templates_app.models import Template
from templates_app.workspaces import states
from templates_app.workspaces.job_kinds import BUILD_TYPE
from templates_app.workspaces.models import BuildParameter, Workspace, WorkspaceBuild

AGENT = base.Agent(name="main", apps=(base.App(slug="editor"), base.App(slug="shell")))


def resources(count: int) -> list[base.Resource]:
    metadata = (base.ResourceMetadata("size", "small"),)
    return [
        base.Resource(name=f"part-{number}", type="null_resource", agents=(AGENT,), metadata=metadata, daily_cost=1)
        for number in range(count)
    ]


def make_workspace(user: User, template: Template, name: str, *, builds: int = 1, parts: int = 1) -> Workspace:
    """Create a running workspace with this number of builds and resources."""
    workspace = Workspace.objects.create(
        name=name,
        owner=user,
        organization=template.organization,
        template=template,
        autostart_schedule="CRON_TZ=Europe/Berlin 0 9 * * 1-5",
        ttl_ms=8 * 3_600_000,
    )
    for number in range(1, builds + 1):
        add_build(workspace, user, number, parts)
    return workspace


def make_many(user: User, template: Template, count: int) -> list[Workspace]:
    """Create running workspaces, ``many-0`` and so on, with one build each, in a few statements."""
    first = user.workspaces.count()
    made = Workspace.objects.bulk_create(
        Workspace(name=f"many-{number}", owner=user, organization=template.organization, template=template)
        for number in range(first, first + count)
    )
    for workspace, build in zip(made, _builds((workspace, 1, user) for workspace in made), strict=True):
        workspace.latest_build = build
    Workspace.objects.bulk_update(made, ["latest_build"])
    return made


def add_many_builds(workspace: Workspace, user: User, count: int) -> None:
    """Add starts that have succeeded, in a few statements."""
    first = workspace.builds.count() + 1
    made = _builds((workspace, number, user) for number in range(first, first + count))
    workspace.latest_build = made[-1]
    workspace.save(update_fields=["latest_build"])


def _builds(wanted: Iterable[tuple[Workspace, int, User]]) -> list[WorkspaceBuild]:
    """Create starts that have succeeded, by workspace, number and user."""
    now = datetime.now(UTC)
    rows = list(wanted)
    jobs = ProvisionerJob.objects.bulk_create(
        ProvisionerJob(
            type=BUILD_TYPE,
            organization=workspace.organization,
            initiator=user,
            provisioner="echo",
            input={"template_version_id": str(workspace.template.active_version_id)},
            started_at=now,
            completed_at=now + timedelta(seconds=3),
        )
        for workspace, _, user in rows
    )
    return WorkspaceBuild.objects.bulk_create(
        WorkspaceBuild(
            workspace=workspace,
            build_number=number,
            template_version_id=workspace.template.active_version_id,
            transition="start",
            initiator=user,
            job=job,
        )
        for (workspace, number, user), job in zip(rows, jobs, strict=True)
    )


def add_build(workspace: Workspace, user: User, number: int, parts: int = 1) -> WorkspaceBuild:
    """Add a start that has succeeded."""
    now = datetime.now(UTC)
    version = workspace.template.active_version
    job = ProvisionerJob.objects.create(
        type=BUILD_TYPE,
        organization=workspace.organization,
        initiator=user,
        provisioner="echo",
        input={"template_version_id": str(version.pk)},
        started_at=now,
        completed_at=now + timedelta(seconds=3),
    )
    build = WorkspaceBuild.objects.create(
        workspace=workspace,
        build_number=number,
        template_version=version,
        transition="start",
        initiator=user,
        job=job,
        deadline=now + timedelta(hours=8),
        daily_cost=parts,
    )
    states.store(build.pk, b'{"lineage": "rows"}')
    store_resources(job, (("start", resource) for resource in resources(parts)))
    for _ in range(parts):
        writing.note(job, base.LogLevel.INFO, "a line")
    for row in version.rich_parameters.all():
        BuildParameter.objects.create(build=build, name=row.name, value=row.default_value or "0")
    workspace.latest_build = build
    workspace.save(update_fields=["latest_build"])
    return build
