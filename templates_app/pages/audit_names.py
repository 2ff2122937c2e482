"""Names and pages of templates and versions, for the audit log."""

import uuid
from collections.abc import Mapping

from django.urls import reverse

from coderproj.accounts.pages import events
from templates_app.models import Template, TemplateVersion

LABELS = {
    "user_acl": "users",
    "group_acl": "groups",
    "default_ttl_ms": "autostop after, in ms",
    "allow_user_cancel_workspace_jobs": "developers may cancel builds",
}


def versions_by_id(ids: set[uuid.UUID]) -> Mapping[uuid.UUID, str]:
    return dict(TemplateVersion.objects.filter(pk__in=ids).values_list("pk", "name"))


def templates_by_id(ids: set[uuid.UUID]) -> Mapping[uuid.UUID, str]:
    return dict(Template.objects.filter(pk__in=ids).values_list("pk", "name"))


def register() -> None:
    """Called once, with the pages' addresses."""
    events.register_names("active_version_id", versions_by_id)
    events.register_names("template_id", templates_by_id)
    for field, label in LABELS.items():
        events.register_label(field, label)
    events.register_address("template", lambda id_: f"/templates/{id_}")
    events.register_address("template_version", lambda id_: reverse("unattached-version", args=[id_]))
