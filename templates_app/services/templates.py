"""Create, update, promote and delete templates."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import IntegrityError, transaction

from coderproj.base.contributions import contributions
from coderproj.base.errors import Conflict, DomainError, Invalid, NotFound, Problem
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction, Organization
from coderproj.identity.rbac import Action
from provisioning import parameters
from provisioning.models import JobStatus, ParameterScope
from templates_app.models import AccessRole, Template, TemplateAccess, TemplateVersion
from templates_app.services import access

# States of an import that never lead to a usable version.
UNUSABLE = {JobStatus.FAILED, JobStatus.CANCELING, JobStatus.CANCELED}


class UnknownVersion(NotFound):
    message = "Template version not found."

    def __init__(self, version_id: uuid.UUID, field: str) -> None:
        super().__init__(problems=(Problem(field, f"Template version {version_id} does not exist."),))


def create(
    actor: Actor,
    organization: Organization,
    *,
    version_id: uuid.UUID,
    fields: dict[str, Any],
    values: Sequence[parameters.GivenValue] = (),
    everyone: bool = True,
) -> Template:
    """Create a template from a version without one. With ``everyone``, each member of the organization may use it;
    without, its access list is empty.

    The keys of ``fields`` are field names of the template: its ``name``, and those that differ from their defaults.
    The version's import can be unfinished (ruling 38). Raises Conflict for a taken name, NotFound on
    ``template_version_id`` for an unknown version, and Invalid for a version of another template or one whose import
    failed or was canceled.
    """
    access.authorize_in_organization(actor, Action.CREATE, organization)
    with audit.record(actor, AuditAction.CREATE) as entry:
        if _name_taken(organization.pk, fields["name"]):
            raise Conflict.taken("template", fields["name"])
        version = (
            TemplateVersion.objects.visible(actor)
            .select_for_update(of=("self",))
            .select_related("job")
            .filter(pk=version_id, organization=organization)
            .first()
        )
        if version is None:
            raise UnknownVersion(version_id, "template_version_id")
        if version.template_id is not None:
            raise Invalid.field("template_version_id", "This version already belongs to a template.")
        if version.job.status in UNUSABLE:
            raise Invalid.field("template_version_id", f"{_state(version)} It cannot become a template.")
        template = Template(
            **fields,
            organization=organization,
            provisioner=version.job.provisioner,
            active_version=version,
            created_by_id=actor.id,
        )
        _save_named(template)
        with audit.record(actor, AuditAction.WRITE, version) as attached:
            version.template = template
            version.save(update_fields=["template", "updated_at"])
            attached.after = version
        if everyone:
            TemplateAccess.objects.create(template=template, group_id=organization.pk, role=AccessRole.USE)
        parameters.store(ParameterScope.TEMPLATE, template.pk, values)
        entry.after, entry.status_code = template, 201
    return template


def update(actor: Actor, template: Template, changes: dict[str, Any], *, revoke_everyone: bool = False) -> Template:
    """Update fields of a template. The keys of ``changes`` are field names; other fields stay. ``revoke_everyone``
    removes the group Everyone from the access list, and needs the right to change that list.

    Raises Forbidden, Invalid for a negative ``default_ttl_ms``, and Conflict for a taken name.
    """
    with audit.record(actor, AuditAction.WRITE, template) as entry:
        access.authorize(actor, Action.UPDATE, template)
        entry.after = template
        _reject_deleted(template)
        if changes.get("default_ttl_ms", 0) < 0:
            message = "Invalid request to update template metadata!"
            raise Invalid.field("default_ttl_ms", "Must be a positive integer.", message=message)
        changed = {name: value for name, value in changes.items() if getattr(template, name) != value}
        if changed:
            for name, value in changed.items():
                setattr(template, name, value)
            _save_named(template, update_fields=[*changed, "updated_at"])
            _report_change(template)
        if revoke_everyone:
            access.revoke_everyone(actor, template)
    return template


def promote(actor: Actor, template: Template, version_id: uuid.UUID) -> None:
    """Make one of the template's versions the active version.

    Raises Forbidden, NotFound for an unknown version, and DomainError (400) for an archived version, a version of
    another template, or a version whose import has not succeeded (ruling 38). Promoting the active version changes
    nothing, whatever its state.
    """
    with audit.record(actor, AuditAction.WRITE, template) as entry:
        access.authorize(actor, Action.UPDATE, template)
        _reject_deleted(template)
        version = TemplateVersion.objects.visible(actor).select_related("job").filter(pk=version_id).first()
        if version is None:
            raise NotFound("Template version not found.")
        if version.template_id != template.pk:
            raise DomainError("The version does not belong to this template.")
        if version.archived:
            raise DomainError("The version is archived. Unarchive it first.")
        if version.job.status != JobStatus.SUCCEEDED and version.pk != template.active_version_id:
            raise DomainError(f"{_state(version)} Only a version whose import succeeded can be promoted.")
        template.active_version = version
        template.save(update_fields=["active_version", "updated_at"])
        entry.after = template
        _report_change(template)


def delete(actor: Actor, template: Template) -> None:
    """Delete a template and free its name. Raises Forbidden, and DomainError while something still needs it."""
    with audit.record(actor, AuditAction.DELETE, template):
        access.authorize(actor, Action.DELETE, template)
        _reject_deleted(template)
        if use := use_of(template):
            raise DomainError("The template cannot be deleted.", detail=use)
        Template.objects.filter(pk=template.pk).update(deleted=True, updated_at=datetime.now(UTC))


def use_of(template: Template) -> str:
    """Return what still needs the template, as a sentence; empty if nothing does."""
    return next(filter(None, (answer(template) for answer in contributions("template_uses"))), "")


def _report_change(template: Template) -> None:
    for report in contributions("template_changes"):
        report(template)


def _state(version: TemplateVersion) -> str:
    return f"The import of version {version.name} has the state {version.job.status}."


def _name_taken(organization_id: uuid.UUID, name: str) -> bool:
    return Template.objects.existing().filter(organization_id=organization_id, name__iexact=name).exists()


def _reject_deleted(template: Template) -> None:
    """Raise NotFound for a template that was deleted before its row was locked."""
    if template.deleted:
        raise NotFound


def _save_named(template: Template, *, update_fields: list[str] | None = None) -> None:
    """Save a template; a unique constraint decides concurrent uses of a name. Raises Conflict."""
    try:
        with transaction.atomic():
            template.save(update_fields=update_fields)
    except IntegrityError as error:
        if "templates_template_name_unique" not in str(error):
            raise
        raise Conflict.taken("template", template.name) from None
