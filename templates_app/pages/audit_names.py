"""Names and pages of templates and versions, for the audit log."""

import uuid
from collections.abc import Mapping

from django.urls import reverse

from coderproj.accounts.pages.events import AuditNames
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


def template_page(id_: str) -> str:
    return f"/templates/{id_}"


def version_page(id_: str) -> str:
    return reverse("unattached-version", args=[id_])


NAMES = [
    AuditNames(
        finders={"active_version_id": versions_by_id, "template_id": templates_by_id},
        labels=LABELS,
        addresses={"template": template_page, "template_version": version_page},
    )
]
