"""Making rows for tests: each function fills in what its caller does not care about."""

import itertools
import uuid
from typing import Any

from coderproj.identity.models import EVERYONE, Group, Membership, Organization, User
from provisioning import jobs
from provisioning.models import DEFAULT_TAGS, File, JobType, ProvisionerJob

_numbers = itertools.count(1)


def make_organization(name: str = "", **fields: Any) -> Organization:
    """An organization with its group of everyone."""
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
    """A stored archive; the bytes are not checked."""
    return File.objects.create(
        hash=uuid.uuid4().hex * 2, created_by=user, data=data, size=len(data), **fields
    )


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
    """A waiting job."""
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
