"""Workspaces of the scene, one in each state, with builds that have logs."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings

from coderproj.identity.models import User
from provisioning.engine import base
from provisioning.engine.base import LogLevel, LogSource, Stage
from provisioning.models import ProvisionerDaemon, ProvisionerJob, ProvisionerJobLog, WorkspaceAgent
from provisioning.results import store_resources
from templates_app.agents.models import AgentStatistic
from templates_app.models import TemplateVersion
from templates_app.workspaces import states
from templates_app.workspaces.job_kinds import BUILD_TYPE
from templates_app.workspaces.models import BuildParameter, BuildReason, Workspace, WorkspaceBuild
from tests.e2e.scene import Scene

APPLY = {"start": Stage.STARTING, "stop": Stage.STOPPING, "delete": Stage.DESTROYING}
ERROR = """apply for start failed: 1 error

docker_container.workspace: no space left on device

  on main.tf line 102, in resource "docker_container" "workspace"."""
APPS = (
    base.App(slug="code-server", display_name="code-server", url="https://code.example.test/", external=True),
    base.App(slug="jupyter", display_name="JupyterLab"),
)
AGENT = base.Agent(name="main", apps=APPS, operating_system="linux", architecture="amd64")
METADATA = (base.ResourceMetadata("image", "codercom/enterprise-base:ubuntu"), base.ResourceMetadata("memory", "8 GiB"))
MACHINE = base.Resource(name="workspace", type="docker_container", agents=(AGENT,), daily_cost=7, metadata=METADATA)
HOME = base.Resource(name="home_volume", type="docker_volume")
MADE = {"start": (MACHINE, HOME), "stop": (HOME,), "delete": ()}


@dataclass(frozen=True)
class Workspaces:
    """``dev`` runs and is outdated, ``api`` starts, ``site`` is stopped, ``gpu`` failed, ``old`` is deleted."""

    dev: Workspace
    api: Workspace
    site: Workspace
    gpu: Workspace
    old: Workspace


def add_workspaces(scene: Scene) -> Workspaces:
    """Add the workspaces of the template ``docker``."""
    now = datetime.now(UTC)
    dev = _workspace(scene, scene.owner, "dev", last_used_at=now - timedelta(minutes=12))
    for number, transition, days in ((1, "start", 6), (2, "stop", 5), (3, "start", 1)):
        reason = BuildReason.AUTOSTOP if transition == "stop" else BuildReason.INITIATOR
        add_build(dev, scene.older, number, transition, timedelta(days=days), reason=reason)
        states.store(dev.builds.get(build_number=number).pk, b'{"lineage": "dev"}'.ljust(14_000 + number))
    WorkspaceBuild.objects.filter(workspace=dev, build_number=3).update(deadline=now + timedelta(hours=6, minutes=20))
    _add_agents(dev)
    api = _workspace(scene, scene.owner, "api")
    add_build(api, scene.active, 1, "start", timedelta(seconds=9), active=True)
    site = _workspace(scene, scene.member, "site", last_used_at=now - timedelta(days=3))
    add_build(site, scene.active, 1, "start", timedelta(days=8))
    add_build(site, scene.active, 2, "stop", timedelta(days=3))
    gpu = _workspace(scene, User.objects.get(username="priya"), "gpu-training")
    add_build(gpu, scene.active, 1, "start", timedelta(hours=4))
    add_build(gpu, scene.active, 2, "start", timedelta(minutes=40), error=ERROR)
    old = _workspace(scene, scene.owner, "old")
    add_build(old, scene.older, 1, "start", timedelta(days=20))
    add_build(old, scene.older, 2, "delete", timedelta(days=19))
    Workspace.objects.filter(pk=old.pk).update(deleted=True)
    return Workspaces(dev, api, site, gpu, old)


def _add_agents(workspace: Workspace) -> None:
    """Let the agent of the latest build be connected, with an app of each health, and add a late one and one whose
    startup has failed."""
    now = datetime.now(UTC)
    assert workspace.latest_build is not None
    main = WorkspaceAgent.objects.get(resource__job=workspace.latest_build.job_id)
    connected = {
        "first_connected_at": now - timedelta(hours=3),
        "last_connected_at": now,
        "alive_until": now + timedelta(days=1),
    }
    rows = WorkspaceAgent.objects.filter(pk=main.pk)
    rows.update(**connected, version="v0.15.3+7aa5d2f", lifecycle_state="ready")
    main.apps.filter(slug="jupyter").update(url="http://localhost:8888/lab", health="unhealthy")
    main.apps.create(slug="metrics", display_name="Metrics", url="http://localhost:9090", health="healthy")
    main.apps.create(slug="shell", display_name="Shell", command="bash")
    late = {"name": "gpu", "operating_system": "linux", "architecture": "arm64", "connection_timeout_seconds": 120}
    row = WorkspaceAgent.objects.create(
        resource=main.resource, troubleshooting_url="https://help.example.test/agents", position=1, **late
    )
    WorkspaceAgent.objects.filter(pk=row.pk).update(created_at=now - timedelta(minutes=50))
    failed = {"name": "sidecar", "operating_system": "linux", "architecture": "amd64", "lifecycle_state": "start_error"}
    WorkspaceAgent.objects.create(
        resource=main.resource, version=settings.BUILD_VERSION, position=2, **connected, **failed
    )
    AgentStatistic.objects.create(
        created_at=now - timedelta(minutes=2),
        agent=main,
        workspace=workspace,
        template=workspace.template,
        user=workspace.owner,
        connections=2,
        rx_bytes=1_482_113,
        tx_bytes=48_211_904,
    )


def _workspace(scene: Scene, owner: User, name: str, last_used_at: datetime | None = None) -> Workspace:
    return Workspace.objects.create(
        name=name,
        owner=owner,
        organization=scene.organization,
        template=scene.docker,
        autostart_schedule="CRON_TZ=Europe/Dublin 30 8 * * 1-5",
        ttl_ms=9 * 3_600_000,
        last_used_at=last_used_at,
    )


def add_build(
    workspace: Workspace,
    version: TemplateVersion,
    number: int,
    transition: str,
    age: timedelta,
    *,
    error: str = "",
    active: bool = False,
    reason: BuildReason = BuildReason.INITIATOR,
) -> WorkspaceBuild:
    """Add a build that has ended, or one that still runs, with its log and resources."""
    started_at = datetime.now(UTC) - age
    job = ProvisionerJob.objects.create(
        type=BUILD_TYPE,
        organization=workspace.organization,
        initiator=workspace.owner,
        provisioner="echo",
        file=version.job.file,
        input={"template_version_id": str(version.pk)},
        tags={"scope": "organization"},
        started_at=started_at,
        worker_id=ProvisionerDaemon.objects.get(name="builtin-0").pk,
        completed_at=None if active else started_at + timedelta(seconds=11.4),
        error=error,
    )
    ProvisionerJob.objects.filter(pk=job.pk).update(created_at=started_at - timedelta(milliseconds=410))
    build = WorkspaceBuild.objects.create(
        workspace=workspace,
        build_number=number,
        template_version=version,
        transition=transition,
        reason=reason,
        initiator=workspace.owner,
        job=job,
    )
    WorkspaceBuild.objects.filter(pk=build.pk).update(created_at=started_at)
    _write_log(job, transition, started_at, error, active=active)
    if not active and not error:
        store_resources(job, ((transition, resource) for resource in MADE[transition]))
    BuildParameter.objects.bulk_create(
        BuildParameter(build=build, name=row.name, value=row.default_value or "0")
        for row in version.rich_parameters.order_by("index")[:2]
    )
    workspace.latest_build = build
    workspace.save(update_fields=["latest_build"])
    return build


def _write_log(job: ProvisionerJob, transition: str, start: datetime, error: str, *, active: bool) -> None:
    lines = [
        (0.0, LogLevel.INFO, Stage.SETTING_UP, ""),
        (0.1, LogLevel.INFO, Stage.SETTING_UP, "Extracting the archive (12.4 KiB, 5 files)"),
        (0.4, LogLevel.INFO, Stage.PLANNING, ""),
        (1.2, LogLevel.INFO, Stage.PLANNING, "Plan: 4 to add, 0 to change, 0 to destroy."),
        (1.6, LogLevel.INFO, APPLY[transition], ""),
        (1.9, LogLevel.INFO, APPLY[transition], "docker_container.workspace[0]: Creating..."),
    ]
    if not active:
        lines += [(9.0, LogLevel.ERROR, APPLY[transition], text) for text in error.splitlines() if text]
        lines.append((11.2, LogLevel.INFO, Stage.CLEANING_UP, ""))
    ProvisionerJobLog.objects.bulk_create(
        ProvisionerJobLog(
            job=job,
            id=number,
            created_at=start + timedelta(seconds=after),
            source=LogSource.ENGINE.value,
            level=level.value,
            stage=str(stage),
            output=output,
        )
        for number, (after, level, stage, output) in enumerate(lines, 1)
    )
    ProvisionerJob.objects.filter(pk=job.pk).update(log_count=len(lines))
