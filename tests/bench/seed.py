"""Fixed data for the benchmarks of reads, with the same numbers, names and sizes on every run.

50 templates of 40 versions, 20,000 users with tokens, one template with 10,000 versions, and one job with 100,000 log
lines.
"""

import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection

from coderproj.identity.models import EVERYONE, ApiKey, Group, Membership, Organization, User
from provisioning.models import (
    ProvisionerJob,
    WorkspaceAgent,
    WorkspaceApp,
    WorkspaceResource,
    WorkspaceResourceMetadata,
)
from templates_app.agents.services import refreshing
from templates_app.models import AccessRole, Template, TemplateAccess, TemplateVersion

TEMPLATES, VERSIONS, USERS, DEEP_VERSIONS, LONG_LOG, SHORT_LOG = 50, 40, 20_000, 10_000, 100_000, 200
MANY_TEMPLATES = 1_000
# A statement has at most 65,535 parameters.
BATCH = 2_000
SECRET = "s" * 22
START = datetime(2026, 1, 1, tzinfo=UTC)
LINE = "coder_agent.main: Creating… still creating, please wait a little [id=%s]"


class Seeded(NamedTuple):
    """The ids of the objects that the benchmarks read, and a token."""

    token: str
    organization: uuid.UUID
    template: uuid.UUID
    version: uuid.UUID
    long_version: uuid.UUID
    deep_template: uuid.UUID


def fixed(kind: str, number: int) -> uuid.UUID:
    """Return an id that is the same on every run."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}")


def seed() -> Seeded:
    """Fill an empty database."""
    organization = make_organization(0, "bench", is_default=True)
    users = User.objects.bulk_create(
        (
            User(id=fixed("user", n), username=f"user-{n}", email=f"user-{n}@example.test", password="!")
            for n in range(USERS)
        ),
        batch_size=BATCH,
    )
    Membership.objects.bulk_create(
        (Membership(organization=organization, user=user) for user in users), batch_size=BATCH
    )
    hashed = hashlib.sha256(SECRET.encode()).digest()
    now = datetime.now(UTC)
    ApiKey.objects.bulk_create(
        (
            ApiKey(
                id=f"key{n:07}",
                hashed_secret=hashed,
                user=user,
                lifetime_seconds=86_400,
                last_used=now,
                expires_at=now + timedelta(days=1),
            )
            for n, user in enumerate(users)
        ),
        batch_size=BATCH,
    )
    author = users[0]
    templates = [make_template(organization, author, n, VERSIONS) for n in range(TEMPLATES)]
    deep = make_template(organization, author, TEMPLATES, DEEP_VERSIONS)
    rich = TemplateVersion.objects.filter(template=templates[0]).order_by("created_at", "id")[7]
    long = TemplateVersion.objects.filter(template=templates[0]).order_by("created_at", "id")[8]
    add_resources(rich.job)
    add_log(rich.job_id, SHORT_LOG)
    add_log(long.job_id, LONG_LOG)
    refreshing.refresh(lambda: False, calculate=True)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
    return Seeded(f"key{1:07}-{SECRET}", organization.pk, templates[0].pk, rich.pk, long.pk, deep.pk)


def seed_many() -> uuid.UUID:
    """Add an organization with 1,000 templates of VERSIONS versions each, for the same user. Return its id."""
    organization = make_organization(1, "many")
    author = User.objects.get(pk=fixed("user", 1))
    Membership.objects.create(organization=organization, user=author)
    for n in range(MANY_TEMPLATES):
        make_template(organization, author, 1_000 + n, VERSIONS)
    refreshing.refresh(lambda: False, calculate=True)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
    return organization.pk


def make_organization(number: int, name: str, *, is_default: bool = False) -> Organization:
    """Create an organization with its group ``Everyone``."""
    organization = Organization.objects.create(id=fixed("organization", number), name=name, is_default=is_default)
    Group.objects.create(id=organization.pk, organization=organization, name=EVERYONE)
    return organization


def make_template(organization: Organization, author: User, number: int, versions: int) -> Template:
    """Create a template with imported versions, usable by the group ``Everyone``."""
    jobs = ProvisionerJob.objects.bulk_create(
        [
            ProvisionerJob(
                id=fixed(f"job {number}", n),
                type="template_version_import",
                organization=organization,
                initiator=author,
                tags={"scope": "organization"},
                started_at=START,
                completed_at=START + timedelta(seconds=1),
                worker_id=fixed("daemon", 0),
            )
            for n in range(versions)
        ],
        batch_size=BATCH,
    )
    rows = TemplateVersion.objects.bulk_create(
        [
            TemplateVersion(
                id=fixed(f"version {number}", n),
                organization=organization,
                name=f"version-{n}",
                job=job,
                created_by=author,
                readme="# A template\n" + "It makes a small machine.\n" * 40,
            )
            for n, job in enumerate(jobs)
        ],
        batch_size=BATCH,
    )
    template = Template.objects.create(
        id=fixed("template", number),
        organization=organization,
        name=f"template-{number}",
        display_name=f"Template number {number}",
        description="Machines for a team that builds things",
        icon="/icon/docker.svg",
        provisioner="terraform",
        active_version=rows[-1],
        created_by=author,
    )
    with connection.cursor() as cursor:  # one second apart, in the order of the numbers
        cursor.execute(
            "UPDATE templates_app_templateversion SET template_id = %s,"
            " created_at = %s + make_interval(secs => substring(name from 9)::int) WHERE id = ANY(%s)",
            [template.pk, START, [row.pk for row in rows]],
        )
    TemplateAccess.objects.create(template=template, group_id=organization.pk, role=AccessRole.USE)
    return template


def add_resources(job: ProvisionerJob) -> None:
    """Create six resources with four metadata items and two agents of three apps each."""
    for n in range(6):
        resource = WorkspaceResource.objects.create(
            job=job, workspace_transition="start", type="docker_container", name=f"machine-{n}", daily_cost=n
        )
        WorkspaceResourceMetadata.objects.bulk_create(
            WorkspaceResourceMetadata(resource=resource, key=f"key-{k}", value="a value of some length")
            for k in range(4)
        )
        for a in range(2):
            agent = WorkspaceAgent.objects.create(
                resource=resource,
                name=f"agent-{a}",
                operating_system="linux",
                architecture="amd64",
                environment_variables={"EDITOR": "vim", "LANG": "C.UTF-8"},
                startup_script="#!/bin/sh\necho hello\n" * 5,
            )
            WorkspaceApp.objects.bulk_create(
                WorkspaceApp(agent=agent, slug=f"app-{p}", display_name=f"App {p}", url="http://localhost:8080")
                for p in range(3)
            )


def add_log(job_id: uuid.UUID, lines: int) -> None:
    """Create the log of a finished job."""

    def rows() -> Iterator[tuple[Any, ...]]:
        for n in range(1, lines + 1):
            yield job_id, n, START, "provisioner", "info", "Detecting persistent resources", LINE % n

    with connection.cursor() as cursor:
        columns = "job_id, id, created_at, source, level, stage, output"
        with cursor.copy(f"COPY provisioning_provisionerjoblog ({columns}) FROM STDIN") as copy:
            for row in rows():
                copy.write_row(row)
        cursor.execute("UPDATE provisioning_provisionerjob SET log_count = %s WHERE id = %s", [lines, job_id])
