"""Factories of rows for tests. Each function fills in the fields that the test does not set."""

import hashlib
import itertools
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from coderproj.identity.actor import Actor
from coderproj.identity.models import EVERYONE, Group, Membership, Organization, User
from provisioning import keys
from provisioning.engine.base import BuildResult, ImportResult, ParameterSchema, PlanResult
from provisioning.models import DEFAULT_TAGS, File, ProvisionerJob
from provisioning.protocol.leases import Lease, Worker
from provisioning.queue import claims, jobs
from templates_app.job_kinds import JobType
from templates_app.models import AccessRole, Template, TemplateAccess, TemplateVersion
from templates_app.workspaces.job_kinds import BUILD_TYPE
from templates_app.workspaces.models import Workspace
from templates_app.workspaces.services import workspaces

_numbers = itertools.count(1)


def make_organization(name: str = "", **fields: Any) -> Organization:
    """An organization with its ``Everyone`` group."""
    organization = Organization.objects.create(name=name or f"org-{next(_numbers)}", **fields)
    Group.objects.create(id=organization.pk, organization=organization, name=EVERYONE)
    return organization


def make_user(
    username: str = "",
    *,
    organizations: tuple[Organization, ...] = (),
    site_roles: tuple[str, ...] = (),
    organization_roles: tuple[str, ...] = (),
    password: str = "correct horse battery",
    **fields: Any,
) -> User:
    """An active user, a member of the organizations with these organization roles."""
    username = username or f"user-{next(_numbers)}"
    user = User(username=username, email=f"{username}@example.test", site_roles=list(site_roles), **fields)
    user.set_password(password)
    user.save()
    for organization in organizations:
        Membership.objects.create(user=user, organization=organization, roles=list(organization_roles))
    return user


def make_file(user: User, data: bytes = b"archive", **fields: Any) -> File:
    """A stored file with unchecked bytes. The same bytes and user give the same file."""
    fields = {"data": data, "size": len(data)} | fields
    file, _ = File.objects.get_or_create(
        hash=fields.pop("hash", hashlib.sha256(data).hexdigest()), created_by=user, defaults=fields
    )
    return file


def make_provisioner_key(
    organization: Organization | None = None, *, name: str = "", tags: dict[str, str] | None = None
) -> str:
    """A provisioner key for an organization, or for all without one."""
    owner = make_user(site_roles=("owner",))
    _, key = keys.create(Actor.of(owner), organization, name=name or f"key-{next(_numbers)}", tags=tags)
    return key


def make_job(
    *,
    user: User | None = None,
    organization: Organization | None = None,
    job_type: JobType = JobType.DRY_RUN,
    tags: dict[str, str] | None = None,
    file: File | None = None,
    provisioner: str = "echo",
    **fields: Any,
) -> ProvisionerJob:
    """A pending job."""
    organization = organization or make_organization()
    user = user or make_user(organizations=(organization,))
    return jobs.enqueue(
        job_type=job_type,
        organization_id=organization.pk,
        initiator_id=user.pk,
        provisioner=provisioner,
        file_id=(file or make_file(user)).pk,
        job_input=fields.pop("job_input", {}),
        tags=DEFAULT_TAGS if tags is None else tags,
        **fields,
    )


# ---------------------------------------------------------------------- templates
def make_version(
    *,
    user: User,
    organization: Organization,
    template: Template | None = None,
    name: str = "",
    result: ImportResult | None = None,
    schemas: tuple[ParameterSchema, ...] = (),
    error: str | None = None,
    finished: bool = True,
) -> TemplateVersion:
    """A version whose import succeeded with ``result``, failed with ``error``, or is pending (``finished=False``)."""
    job = make_job(user=user, organization=organization, job_type=JobType.IMPORT)
    version = TemplateVersion.objects.create(
        template=template,
        organization=organization,
        name=name or f"version-{next(_numbers)}",
        job=job,
        created_by=user,
    )
    if finished:
        finish(job, result=result, schemas=schemas, error=error)
        version.refresh_from_db()
    return version


def in_state(state: str, version: TemplateVersion) -> TemplateVersion:
    """Bring the pending import of a version into a state."""
    job = version.job
    if state in {"running", "canceling"}:
        claim(provisioners=[job.provisioner], tags=job.tags)
    if state in {"canceled", "canceling"}:
        jobs.cancel(job.pk)
    if state in {"succeeded", "failed"}:
        finish(job, error="the plan failed" if state == "failed" else None)
    version.refresh_from_db()
    assert version.job.status == state
    return version


def claim(
    *,
    daemon_id: uuid.UUID | None = None,
    provisioners: Sequence[str] = ("echo",),
    tags: Mapping[str, str] = DEFAULT_TAGS,
    organization_id: uuid.UUID | None = None,
    token: uuid.UUID | None = None,
    lease_seconds: float = 60.0,
) -> Lease:
    """Claim the next job for such a daemon and return the lease. A matching job must be pending."""
    worker = Worker(daemon_id or uuid.uuid4(), provisioners, tags, organization_id)
    job = claims.claim(worker, lease_seconds=lease_seconds, token=token)
    assert job is not None
    return job.lease


def finish(
    job: ProvisionerJob,
    *,
    result: ImportResult | PlanResult | BuildResult | None = None,
    schemas: tuple[ParameterSchema, ...] = (),
    error: str | None = None,
    state: bytes = b"",
) -> None:
    """Claim and finish a pending job like a daemon. It must be the only matching one."""
    lease = claim(provisioners=[job.provisioner], tags=job.tags)
    assert lease.job_id == job.pk
    jobs.store_schemas(lease, schemas)
    if state:
        jobs.store_state(lease, state)
    if error is not None:
        jobs.fail(lease, error)
    else:
        empty: ImportResult | PlanResult | BuildResult = PlanResult()
        if job.type == JobType.IMPORT:
            empty = ImportResult(start=PlanResult(), stop=PlanResult())
        elif job.type == BUILD_TYPE:
            empty = BuildResult()
        jobs.complete(lease, result or empty)


def make_template(
    *, user: User, organization: Organization, name: str = "", everyone: bool = True, **fields: Any
) -> Template:
    """A template with one imported version. All members of the organization may use it unless ``everyone=False``."""
    version = make_version(user=user, organization=organization, result=fields.pop("result", None))
    template = Template.objects.create(
        organization=organization,
        name=name or f"template-{next(_numbers)}",
        provisioner=version.job.provisioner,
        active_version=version,
        created_by=user,
        **fields,
    )
    TemplateVersion.objects.filter(pk=version.pk).update(template=template)
    if everyone:
        TemplateAccess.objects.create(template=template, group_id=organization.pk, role=AccessRole.USE)
    return template


def make_workspace(
    *,
    user: User,
    template: Template,
    name: str = "",
    finished: bool = True,
    result: BuildResult | None = None,
    **new: Any,
) -> Workspace:
    """A workspace of a user whose first build has succeeded with ``result``, or is pending (``finished=False``)."""
    named = workspaces.NewWorkspace(name or f"workspace-{next(_numbers)}", template_id=template.pk, **new)
    workspace = workspaces.create(Actor.of(user), template.organization, user, named)
    assert workspace.latest_build is not None
    if finished:
        finish(workspace.latest_build.job, result=result)
    return Workspace.objects.get(pk=workspace.pk)
