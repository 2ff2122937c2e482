"""Template versions: create and import, read results, cancel, dry-run."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.db import IntegrityError, transaction

from coderproj.base.errors import Conflict, DomainError, Forbidden, Invalid, NotFound
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction, Organization
from coderproj.identity.rbac import Action, Resource, allowed
from provisioning import parameters
from provisioning.engine.base import Transition
from provisioning.files import stored
from provisioning.models import File, ParameterScope, Provisioner, ProvisionerJob
from provisioning.queue import administration, jobs
from templates_app import starters
from templates_app.job_kinds import JobType
from templates_app.models import Template, TemplateVersion
from templates_app.names import random_name
from templates_app.services import access

# Random version names end in one digit, so a template can need several attempts to find a free one.
NAME_ATTEMPTS = 50
DEFAULT_SCOPE = "organization"
USER_SCOPE = "user"


class JobUnfinished(DomainError):
    """A result of an unfinished import was requested (400 by contract)."""

    status_code = 400
    message = "Template version import hasn't completed!"


class DryRunUnfinished(JobUnfinished):
    message = "Template version dry-run hasn't completed!"


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a version: an uploaded file, or a starter by id or slug. Without either, there is no source."""

    file_id: uuid.UUID | None = None
    starter: str = ""


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to create. ``values`` are the values of variables for the import."""

    source: Source
    name: str = ""
    message: str = ""
    template_id: uuid.UUID | None = None
    provisioner: str = Provisioner.TERRAFORM
    tags: Mapping[str, str] = field(default_factory=dict)
    values: Sequence[parameters.GivenValue] = ()
    rich_values: Mapping[str, str] = field(default_factory=dict)
    workspace_name: str = ""


def create(actor: Actor, organization: Organization, new: NewVersion) -> TemplateVersion:
    """Create a version and queue its import.

    Raises NotFound for an unknown template or file, Forbidden without the right to create versions, Invalid for an
    unknown starter or two sources, and Conflict for a taken name.
    """
    template = _template_for(actor, organization, new.template_id)
    if template is None:
        access.authorize_in_organization(actor, Action.CREATE, organization)
    file = _source_file(actor, new.source)
    with audit.record(actor, AuditAction.CREATE) as entry:
        job = jobs.enqueue(
            job_type=JobType.IMPORT,
            organization_id=organization.pk,
            initiator_id=actor.id,
            provisioner=new.provisioner,
            file_id=file.pk if file else None,
            job_input={
                "template_id": str(template.pk) if template else None,
                "workspace_name": new.workspace_name,
                "rich_parameter_values": _named_values(new.rich_values),
            },
            tags=normalised_tags(new.tags, actor.id),
        )
        parameters.store(ParameterScope.IMPORT_JOB, job.pk, new.values, copyable_jobs=_jobs_of(template))
        version = _insert(actor, organization, template, job, new)
        entry.after, entry.status_code = version, 201
    return version


def _template_for(actor: Actor, organization: Organization, template_id: uuid.UUID | None) -> Template | None:
    """Return the template that gets the new version; None if none was named. Raises NotFound and Forbidden."""
    if template_id is None:
        return None
    template = Template.objects.visible(actor).filter(pk=template_id, organization=organization).first()
    if template is None:
        raise NotFound(f"Template {template_id} does not exist in this organization.")
    if not Template.objects.manageable(actor, Action.CREATE).filter(pk=template.pk).exists():
        raise Forbidden
    return template


def _source_file(actor: Actor, source: Source) -> File | None:
    if source.file_id and source.starter:
        raise Invalid(
            "Give either file_id or example_id, not both.",
        )
    if source.file_id:
        return stored.find(actor, source.file_id)
    if source.starter:
        starter = starters.find(source.starter)
        if starter is None:
            raise Invalid.field("example_id", f"Starter {source.starter!r} not found.")
        return stored.store(actor, starters.archive(starter.slug)).file
    return None


def _insert(
    actor: Actor, organization: Organization, template: Template | None, job: ProvisionerJob, new: NewVersion
) -> TemplateVersion:
    for _ in range(NAME_ATTEMPTS):
        version = TemplateVersion(
            template=template,
            organization=organization,
            name=new.name or random_name(),
            message=new.message,
            job=job,
            created_by_id=actor.id,
        )
        try:
            with transaction.atomic():
                version.save(force_insert=True)
        except IntegrityError as error:
            if "templates_version_name_unique" not in str(error):
                raise
            if new.name:
                raise Conflict.taken("version of this template", new.name) from None
            continue
        return version
    raise Conflict.taken("version of this template", version.name)


def _jobs_of(template: Template | None) -> Sequence[uuid.UUID]:
    """Return the import jobs whose values a new version of the template may copy."""
    if template is None:
        return ()
    return list(template.versions.values_list("job_id", flat=True))


def normalised_tags(tags: Mapping[str, str], user_id: uuid.UUID) -> dict[str, str]:
    """Return tags with a valid scope. ``scope=user`` binds the job to the user's own daemons (contract, tags)."""
    if tags.get("scope") == USER_SCOPE:
        return {**tags, "owner": str(user_id)}
    return {**tags, "scope": DEFAULT_SCOPE}


def _named_values(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


# ---------------------------------------------------------------------- reading, cancelling and changing
def require_completed(job: ProvisionerJob, error: type[DomainError] = JobUnfinished) -> None:
    """Raise ``error`` unless the job has ended."""
    if job.completed_at is None:
        raise error


def authorize_change(actor: Actor, version: TemplateVersion) -> None:
    """Check that the actor may change, cancel or archive a readable version. Raises Forbidden."""
    if not TemplateVersion.objects.manageable(actor).filter(pk=version.pk).exists():
        raise Forbidden


def cancel(actor: Actor, version: TemplateVersion) -> None:
    """Request the cancellation of a version's import. Raises Forbidden, and JobEnded when the import has ended."""
    authorize_change(actor, version)
    administration.stop(actor, version.job)


def previous(version: TemplateVersion) -> TemplateVersion | None:
    """Return the previous version of the same template; None for the first version and without a template."""
    if version.template_id is None:
        return None
    earlier = TemplateVersion.objects.filter(template_id=version.template_id, created_at__lt=version.created_at)
    return earlier.order_by("-created_at", "-id").first()


def update(actor: Actor, version: TemplateVersion, *, name: str | None, message: str | None) -> TemplateVersion:
    """Rename a version or change its message. Raises Forbidden, and Conflict for a taken name."""
    with audit.record(actor, AuditAction.WRITE, version) as entry:
        authorize_change(actor, version)
        version.name = name or version.name
        version.message = version.message if message is None else message
        try:
            with transaction.atomic():
                version.save(update_fields=["name", "message", "updated_at"])
        except IntegrityError:
            raise Conflict.taken("version of this template", version.name) from None
        entry.after = version
    return version


# ---------------------------------------------------------------------- dry runs
@dataclass(frozen=True, slots=True)
class DryRunInput:
    workspace_name: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    rich_values: Mapping[str, str] = field(default_factory=dict)


def authorize_dry_run(actor: Actor, version: TemplateVersion) -> None:
    """Check that the actor may dry-run a readable version: a dry run counts as a workspace of the actor (contract,
    object mapping). Raises Forbidden."""
    organization_id = version.organization_id
    if not allowed(actor, Action.CREATE, Resource.WORKSPACE, organization_id=organization_id, owner_id=actor.id):
        raise Forbidden


def start_dry_run(actor: Actor, version: TemplateVersion, given: DryRunInput) -> ProvisionerJob:
    """Queue a dry run of the version with these values. The job has the source and tags of the version's import.

    Raises Forbidden when the actor may not create workspaces in the organization, and JobUnfinished during the import.
    """
    authorize_dry_run(actor, version)
    require_completed(version.job)
    with transaction.atomic():
        return jobs.enqueue(
            job_type=JobType.DRY_RUN,
            organization_id=version.organization_id,
            initiator_id=actor.id,
            provisioner=version.job.provisioner,
            file_id=version.job.file_id,
            job_input={
                "template_version_id": str(version.pk),
                "template_id": str(version.template_id) if version.template_id else None,
                "import_job_id": str(version.job_id),
                "transition": Transition.START,
                "workspace_name": given.workspace_name,
                "parameter_values": _named_values(given.values),
                "rich_parameter_values": _named_values(given.rich_values),
            },
            tags=version.job.tags,
        )


def find_dry_run(actor: Actor, version: TemplateVersion, job_id: uuid.UUID) -> ProvisionerJob:
    """Return a dry run of the version. Raises NotFound for a job that the actor may not read, and Forbidden for a
    readable job that is not a dry run of this version."""
    job = ProvisionerJob.objects.filter(pk=job_id).first()
    if job is None or not _readable(actor, job):
        raise NotFound(f"Provisioner job {job_id} not found.")
    if job.type != JobType.DRY_RUN or job.input.get("template_version_id") != str(version.pk):
        raise Forbidden
    return job


def _readable(actor: Actor, job: ProvisionerJob) -> bool:
    if job.type == JobType.DRY_RUN:
        return _allowed_on_dry_run(actor, job, Action.READ)
    return TemplateVersion.objects.visible(actor).filter(job=job).exists()


def cancel_dry_run(actor: Actor, job: ProvisionerJob) -> None:
    """Request the cancellation of a dry run. Raises Forbidden, and JobEnded when it has ended."""
    if not _allowed_on_dry_run(actor, job, Action.UPDATE):
        raise Forbidden
    administration.stop(actor, job)


def _allowed_on_dry_run(actor: Actor, job: ProvisionerJob, action: Action) -> bool:
    """Return True if the actor may do the action: a dry run counts as a workspace of its initiator (contract, object
    mapping)."""
    return allowed(actor, action, Resource.WORKSPACE, organization_id=job.organization_id, owner_id=job.initiator_id)
