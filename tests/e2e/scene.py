"""A busy deployment for browser tests and screenshots: templates with a history, a queue, daemons."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import F

from coderproj.identity.models import Organization, User
from provisioning.engine import base
from provisioning.engine.base import LogLevel, LogLine, LogSource, Stage
from provisioning.log import writing
from provisioning.models import ProvisionerDaemon, ProvisionerJob
from provisioning.protocol.leases import Lease
from provisioning.queue import jobs
from templates_app.job_kinds import JobType
from templates_app.models import Template, TemplateVersion
from tests.e2e.scene_details import ASKING, add_details, store_files
from tests.factories import claim, finish, make_job, make_organization, make_template, make_user, make_version

PASSWORD = "correct horse battery"
README = """---
name: Docker containers
---
# Docker containers

To get started, run `coder templates init`. When prompted, select this template.

## Editing the image

Edit the `Dockerfile` and run `coder templates push` to update workspaces.

| part | lives in |
| --- | --- |
| home | a volume |
| tools | the image |

See the [provider](https://registry.terraform.io/providers/kreuzwerker/docker/latest/docs) for more:

- SSH or TCP docker host
- Registry authentication

![a picture](https://example.com/picture.png) <script>alert("never")</script>
"""
PLAN = """Terraform will perform the following actions:
  # docker_container.workspace[0] will be created
  + resource "docker_container" "workspace" {
      + hostname = "default"
      + image    = (known after apply)
    }
Plan: 4 to add, 0 to change, 0 to destroy."""
ERROR = """Error: Unsupported attribute

  on main.tf line 102, in resource "docker_container" "workspace":
 102:   image = docker_image.main.latest

This object has no argument, nested block, or exported attribute named "latest"."""


@dataclass
class Scene:
    """``owner`` has all permissions, ``member`` may use templates. Versions of ``docker`` are named by their state."""

    organization: Organization
    owner: User
    member: User
    docker: Template
    active: TemplateVersion
    older: TemplateVersion
    failed: TemplateVersion
    running: TemplateVersion
    lease: Lease
    waiting: ProvisionerJob
    dry_run: ProvisionerJob


def make_scene(*, past_days: int = 30) -> Scene:
    """Create the scene with dry runs on each of ``past_days``, more of them on weekdays."""
    organization = make_organization("acme", is_default=True)
    owner = make_user("ada", organizations=(organization,), site_roles=("owner",), password=PASSWORD)
    member = make_user("mira", organizations=(organization,), password=PASSWORD)
    people = [owner, member, *(make_user(name, organizations=(organization,)) for name in ("omar", "priya", "jonas"))]

    docker = make_template(
        user=owner,
        organization=organization,
        name="docker",
        display_name="Docker containers",
        description="Develop in containers on a Docker host",
        icon="/icon/docker.png",
        result=found(),
    )
    older = docker.active_version
    _set(older, name="frosty_kepler1", message="First version", readme=README, age=timedelta(days=23))
    active = _version(docker, owner, "quiet_lovelace3", "Pin code-server to 4.9.1", timedelta(days=9))
    Template.objects.filter(pk=docker.pk).update(active_version=active)
    docker.refresh_from_db()
    add_details(docker, owner, member, older, active)
    _other_templates(owner, organization)
    _past(active, people, past_days)

    failed = _version(
        docker, member, "wise_dijkstra4", "Grow the home volume to 32 GB", timedelta(hours=7), error=ERROR
    )
    dry_run = make_job(
        user=owner, organization=organization, job_input={"template_version_id": str(active.pk)}, file=active.job.file
    )
    finish(dry_run, result=found().start)
    daemons = _daemons()
    running, lease = _running(docker, people[4], daemons[0])
    store_files(owner, running, {"main.tf": ASKING})
    waiting = make_job(
        user=people[3],
        organization=organization,
        tags={"scope": "organization", "gpu": "a100"},
        job_input={"template_version_id": str(active.pk)},
    )
    _move(waiting, timedelta(minutes=6))
    return Scene(organization, owner, member, docker, active, older, failed, running, lease, waiting, dry_run)


def found() -> base.ImportResult:
    """A container with an agent and two apps, a volume, and parameters for developers."""
    apps = (
        base.App(slug="code-server", display_name="code-server"),
        base.App(slug="jupyter", display_name="JupyterLab"),
    )
    agent = base.Agent(name="main", apps=apps, operating_system="linux", architecture="amd64")
    resources = (
        base.Resource(name="workspace", type="docker_container", agents=(agent,), daily_cost=7),
        base.Resource(name="home_volume", type="docker_volume"),
    )
    parameters = (
        base.RichParameter(name="region", default_value="eu-west-1", type="string"),
        base.RichParameter(name="cpu", default_value="4", type="number", mutable=True),
    )
    plan = base.PlanResult(resources=resources, rich_parameters=parameters)
    return base.ImportResult(start=plan, stop=plan)


# ---------------------------------------------------------------------- parts
def _version(
    template: Template, user: User, name: str, message: str, age: timedelta, *, error: str | None = None
) -> TemplateVersion:
    """Create an import that has ended, with a log."""
    version = make_version(
        user=user, organization=template.organization, template=template, finished=False, result=found()
    )
    lease = _claim(version.job)
    write_log(lease, error=error)
    if error is None:
        jobs.complete(lease, found())
    else:
        jobs.fail(lease, error.removeprefix("Error: "))
    version.refresh_from_db()
    _set(version, name=name, message=message, readme=README, age=age)
    return version


def _claim(job: ProvisionerJob, daemon_id: uuid.UUID | None = None) -> Lease:
    lease = claim(daemon_id=daemon_id, provisioners=[job.provisioner], tags=job.tags, lease_seconds=3600)
    assert lease.job_id == job.pk
    return lease


def line(stage: str, output: str = "", level: LogLevel = LogLevel.INFO, *, after: float = 0) -> LogLine:
    """Return a line written ``after`` seconds from now."""
    return LogLine(LogSource.ENGINE, level, stage, output, datetime.now(UTC).timestamp() + after)


def write_log(lease: Lease, *, error: str | None = None, until: Stage = Stage.CLEANING_UP) -> None:
    """Write the lines of an import, up to and including a stage."""
    stages: dict[str, list[LogLine]] = {
        Stage.SETTING_UP: [line(Stage.SETTING_UP, "Extracting the archive (12.4 KiB, 5 files)", after=-13)],
        Stage.PARSING: [
            line(Stage.PARSING, "5 parameters: region, cpu, home_disk_size, image, dotfiles", LogLevel.DEBUG, after=-12)
        ],
        Stage.PERSISTENT: [
            line(Stage.PERSISTENT, "- Installing kreuzwerker/docker v2.25.0...", LogLevel.DEBUG, after=-11),
            line(Stage.PERSISTENT, "Warning: Incomplete lock file information for providers.", LogLevel.WARN, after=-9),
            *(line(Stage.PERSISTENT, text, after=-4) for text in PLAN.splitlines()),
        ],
    }
    if error is not None:
        stages[Stage.PERSISTENT] += [line(Stage.PERSISTENT, text, LogLevel.ERROR) for text in error.splitlines()]
    else:
        stages[Stage.EPHEMERAL] = [line(Stage.EPHEMERAL, "Plan: 0 to add, 0 to change, 1 to destroy.")]
    stages[Stage.CLEANING_UP] = []
    lines = []
    for stage, written in stages.items():
        start = written[0].created_at if written else datetime.now(UTC).timestamp()
        lines += [LogLine(LogSource.DAEMON, LogLevel.INFO, stage, "", start), *written]
        if stage == until:
            break
    writing.append(lease.job_id, lease.token, lines)


def _set(version: TemplateVersion, *, age: timedelta, **fields: str) -> None:
    created_at = datetime.now(UTC) - age
    TemplateVersion.objects.filter(pk=version.pk).update(created_at=created_at, **fields)
    version.refresh_from_db()
    _move(version.job, age, ran=timedelta(seconds=14))


def _move(job: ProvisionerJob, age: timedelta, *, ran: timedelta | None = None) -> None:
    """Move a job to the past."""
    created_at = datetime.now(UTC) - age
    fields = {"created_at": created_at}
    if ran is not None:
        started_at = created_at + timedelta(milliseconds=436)
        fields |= {"started_at": started_at, "completed_at": started_at + ran}
    ProvisionerJob.objects.filter(pk=job.pk).update(**fields)


def _other_templates(owner: User, organization: Organization) -> None:
    for name, title, description, icon in (
        (
            "kubernetes",
            "Kubernetes pods",
            "Pods with a persistent home volume, and as many GPUs of the cluster as a project may have at once",
            "/icon/k8s.png",
        ),
        ("aws-linux", "AWS EC2 Linux", "Ubuntu VMs with an EBS home on EC2", "/icon/aws.png"),
        ("data-science", "Data science GPU", "Jupyter and PyTorch on A100 nodes", "/icon/nvidia.svg"),
        ("gcp-vm", "GCP VM", "Debian VMs in Compute Engine", "/icon/gcp.png"),
    ):
        make_template(
            user=owner,
            organization=organization,
            name=name,
            display_name=title,
            description=description,
            icon=icon,
            result=found(),
        )


def _past(version: TemplateVersion, people: list[User], days: int) -> None:
    """Create dry runs of the last days."""
    now = datetime.now(UTC)
    rows = []
    for back in range(days):
        day = now - timedelta(days=back)
        busy = 1 if day.weekday() > 4 else 2 + back % 3
        for number, person in enumerate(people[:busy]):
            started_at = day - timedelta(minutes=number * 7)
            rows.append(
                ProvisionerJob(
                    type=JobType.DRY_RUN,
                    organization=version.organization,
                    initiator=person,
                    input={"template_version_id": str(version.pk)},
                    tags={"scope": "organization"},
                    started_at=started_at,
                    completed_at=started_at + timedelta(seconds=6 + (back * 7 + number * 5) % 11),
                )
            )
    ProvisionerJob.objects.bulk_create(rows)
    created = ProvisionerJob.objects.filter(pk__in=[row.pk for row in rows])
    created.update(created_at=F("started_at") - timedelta(seconds=2))


def _daemons() -> list[ProvisionerDaemon]:
    now = datetime.now(UTC)
    tags = {"scope": "organization"}
    return [
        ProvisionerDaemon.objects.create(name=name, version="0.1.0", last_seen_at=seen, provisioners=["echo"], tags=own)
        for name, seen, own in (
            ("builtin-0", now + timedelta(hours=1), tags),
            ("eu-runner-1", now + timedelta(hours=1), tags | {"region": "eu"}),
            ("gpu-runner-1", now - timedelta(minutes=14), tags | {"gpu": "a100"}),
        )
    ]


def _running(template: Template, user: User, daemon: ProvisionerDaemon) -> tuple[TemplateVersion, Lease]:
    """Create a running import."""
    version = make_version(
        user=user, organization=template.organization, template=template, name="eager_turing4", finished=False
    )
    TemplateVersion.objects.filter(pk=version.pk).update(message="Move to the arm64 node pool")
    lease = _claim(version.job, daemon.pk)
    write_log(lease, until=Stage.PARSING)
    version.refresh_from_db()
    return version, lease
