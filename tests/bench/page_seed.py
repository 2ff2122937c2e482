"""Fixed data for the benchmarks of pages, with the same numbers, names and sizes on every run.

50 templates of 40 versions with a month of use, 200 users, a queue of 500 jobs, an audit log, and one import with 5,000
log lines.
"""

import itertools
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection
from django.db.models import F

from coderproj.identity import tokens
from coderproj.identity.models import ApiKey, AuditAction, AuditLog, Group, GroupMembership, LoginType, Membership, User
from provisioning.models import File, ProvisionerDaemon, ProvisionerJob, ProvisionerJobLog, ProvisionerKey
from templates_app.agents.services import refreshing
from templates_app.job_kinds import JobType
from templates_app.models import Template, TemplateVersion
from tests.bench.seed import BATCH, SHORT_LOG, add_resources, make_template
from tests.e2e.scene import Scene, make_scene
from tests.factories import make_job, make_provisioner_key, make_version

TEMPLATES, VERSIONS, USERS, GROUPS, OWN_TOKENS, QUEUE, LINES = 50, 40, 200, 20, 20, 500, 5_000
DAYS, RUNS_A_DAY, EVENTS = 30, 3, 2_000
STAGES = ("Setting up", "Parsing template parameters", "Detecting persistent resources")
TAGS = {"scope": "organization"}


@dataclass(frozen=True)
class PageData:
    """The seeded data.

    ``session`` is a session of the owner, ``addresses`` has values for the parameters of the pages' routes, and
    ``long_log`` is the version whose import wrote ``LINES`` lines.
    """

    scene: Scene
    session: str
    addresses: dict[str, str]
    long_log: TemplateVersion


def seed_pages() -> PageData:
    """Fill an empty database."""
    scene = make_scene()
    users = _users(scene)
    number = itertools.count()
    templates = [make_template(scene.organization, scene.owner, next(number), VERSIONS) for _ in range(TEMPLATES)]
    measured = templates[0]
    version, long_log = TemplateVersion.objects.filter(template=measured).order_by("-created_at")[:2]
    file = File.objects.create(hash="f" * 64, created_by=scene.owner, data=scene.active.job.file.data, size=1)
    ProvisionerJob.objects.filter(type=JobType.IMPORT, file=None).update(file=file)
    add_resources(version.job)
    _log(version.job, SHORT_LOG)
    _log(long_log.job, LINES)
    ProvisionerJob.objects.filter(pk=long_log.job_id).update(error="It went wrong in line one")
    _use(templates, users)
    _history(scene, templates)
    unattached = make_version(user=scene.owner, organization=scene.organization)
    key_id = _access(scene, users)
    refreshing.refresh(lambda: False, calculate=True)
    _queue(scene, version, users)
    with connection.cursor() as cursor:
        # Otherwise autovacuum would run during the measurement.
        cursor.execute("VACUUM (ANALYZE)")
    _, session = tokens.issue(user=scene.owner)
    addresses = {
        "organization": scene.organization.name,
        "template": measured.name,
        "name": measured.name,
        "version": version.name,
        "id": str(unattached.pk),
        "job": str(version.job_id),
        "starter": "docker",
        "organization_id": str(scene.organization.pk),
        "user": str(users[0].pk),
        "group": str(Group.objects.exclude(pk=scene.organization.pk).earliest("name").pk),
        "token": ApiKey.objects.get(user=scene.owner, name="laptop-0").pk,
        "daemon": str(ProvisionerDaemon.objects.earliest("name").pk),
        "key": key_id,
    }
    return PageData(scene, session, addresses, long_log)


def _users(scene: Scene) -> list[User]:
    users = User.objects.bulk_create(
        User(username=f"person-{n}", email=f"person-{n}@example.test", password="!") for n in range(USERS)
    )
    Membership.objects.bulk_create(Membership(organization=scene.organization, user=user) for user in users)
    return users


def _access(scene: Scene, users: list[User]) -> str:
    """Create groups of ten, some tokens and a provisioner key. Return the id of the key."""
    groups = Group.objects.bulk_create(
        Group(organization=scene.organization, name=f"team-{n}", quota_allowance=n) for n in range(GROUPS)
    )
    GroupMembership.objects.bulk_create(
        GroupMembership(group=group, user=user)
        for index, group in enumerate(groups)
        for user in users[index * 10 : index * 10 + 10]
    )
    for n in range(OWN_TOKENS):
        tokens.issue(user=scene.owner, name=f"laptop-{n}", login_type=LoginType.TOKEN)
    make_provisioner_key(scene.organization, name="remote")
    return str(ProvisionerKey.objects.get().pk)


def _use(templates: list[Template], users: list[User]) -> None:
    """Create dry runs of every template on every day, by all users in turn."""
    now = datetime.now(UTC)
    caller = itertools.cycle(users)
    rows: list[ProvisionerJob] = []
    for template, back, n in itertools.product(templates, range(DAYS), range(RUNS_A_DAY)):
        started = now - timedelta(days=back, minutes=n * 11)
        rows.append(
            ProvisionerJob(
                type=JobType.DRY_RUN,
                organization_id=template.organization_id,
                initiator=next(caller),
                input={"template_version_id": str(template.active_version_id)},
                tags=TAGS,
                started_at=started,
                completed_at=started + timedelta(seconds=5 + n),
            )
        )
    ProvisionerJob.objects.bulk_create(rows, batch_size=BATCH)
    ProvisionerJob.objects.filter(type=JobType.DRY_RUN, started_at__isnull=False).update(created_at=F("started_at"))


def _queue(scene: Scene, version: TemplateVersion, users: list[User]) -> None:
    """Create pending dry runs. Every tenth has tags that no daemon has."""
    for n in range(QUEUE):
        make_job(
            user=users[n % len(users)],
            organization=scene.organization,
            file=version.job.file,
            tags=TAGS | ({"gpu": "a100"} if n % 10 == 0 else {}),
            job_input={"template_version_id": str(version.pk)},
        )


def _log(job: ProvisionerJob, lines: int) -> None:
    """Create a log. Most of its lines are in the last stage, and the last line is an error."""
    began = datetime.now(UTC)
    ProvisionerJobLog.objects.bulk_create(
        (
            ProvisionerJobLog(
                job=job,
                id=n,
                created_at=began + timedelta(milliseconds=n),
                source="provisioner",
                level="error" if n == lines else "debug" if n % 3 == 0 else "info",
                stage=STAGES[n * 40 // lines] if n * 20 < lines else STAGES[2],
                output=f"coder_agent.main: Still creating, please wait a little [id={n}]",
            )
            for n in range(1, lines + 1)
        ),
        batch_size=BATCH,
    )
    job.log_count = lines
    job.save(update_fields=["log_count"])


def _history(scene: Scene, templates: list[Template]) -> None:
    AuditLog.objects.bulk_create(
        AuditLog(
            user_id=scene.owner.pk,
            username=scene.owner.username,
            organization_id=scene.organization.pk,
            resource_type="template",
            resource_id=str(template.pk),
            resource_target=template.name,
            action=AuditAction.WRITE,
            diff={"description": {"old": "Before", "new": f"After {n}", "secret": False}},
            status_code=200,
            request_id=uuid.uuid4(),
        )
        for n, template in zip(range(EVENTS), itertools.cycle(templates), strict=False)
    )
