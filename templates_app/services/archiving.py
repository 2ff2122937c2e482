"""Archive and unarchive template versions."""

from coderproj.base.errors import DomainError
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction
from templates_app.models import Template, TemplateVersion
from templates_app.services.versions import authorize_change


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
