"""Archive and unarchive template versions."""

import uuid

from django.db import transaction

from coderproj.base.contributions import contributions
from coderproj.base.errors import DomainError
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction
from coderproj.identity.rbac import Action
from provisioning.models import JobStatus
from provisioning.models.jobs import status_expression
from templates_app.models import Template, TemplateVersion
from templates_app.services import access
from templates_app.services.versions import authorize_change


def archive_versions(actor: Actor, template: Template, *, unused: bool) -> list[uuid.UUID]:
    """Archive the versions of a template whose import failed or, with ``unused``, all that have ended and that no
    workspace uses. The active version stays. Return the ids of those that were not archived before, oldest first.

    Raises Forbidden.
    """
    access.authorize(actor, Action.UPDATE, template)
    with transaction.atomic():
        rows = TemplateVersion.objects.filter(template=template, archived=False, job__completed_at__isnull=False)
        if not unused:
            rows = rows.alias(status=status_expression("job__")).filter(status=JobStatus.FAILED)
        # Versions are locked before their template, as in set_archived; both orders at once could deadlock.
        found = list(rows.select_for_update(of=("self",), no_key=True).order_by("created_at", "id"))
        # The lock prevents a concurrent promotion.
        kept = {Template.objects.select_for_update().get(pk=template.pk).active_version_id}
        if unused:
            kept |= {version_id for find in contributions("used_versions") for version_id in find(template)}
        chosen = [version for version in found if version.pk not in kept]
        for version in chosen:
            set_archived(actor, version, archived=True)
    return [version.pk for version in chosen]


def set_archived(actor: Actor, version: TemplateVersion, archived: bool) -> TemplateVersion:
    """Archive or unarchive a version; repeating it changes nothing. The active version cannot be archived.

    Raises Forbidden; DomainError for the active version.
    """
    with audit.record(actor, AuditAction.WRITE, version) as entry:
        authorize_change(actor, version)
        if archived and version.template_id:
            # The lock prevents a concurrent promotion of this version.
            template = Template.objects.select_for_update().get(pk=version.template_id)
            if template.active_version_id == version.pk:
                raise DomainError("The active version cannot be archived.")
        version.archived = archived
        version.save(update_fields=["archived", "updated_at"])
        entry.after = version
    return version
