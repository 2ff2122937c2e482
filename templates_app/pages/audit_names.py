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
    "activity_bump_ms": "use puts off the stop by, in ms",
    "autostop_days": "days of required stops, as a number",
    "autostop_weeks": "weeks between required stops",
    "autostart_days": "days of scheduled starts, as a number",
    "allow_user_autostart": "developers may schedule starts",
    "allow_user_autostop": "developers may change stops",
    "failure_ttl_ms": "failed workspaces stop after, in ms",
    "time_til_dormant_ms": "workspaces are dormant after, in ms",
    "time_til_dormant_autodelete_ms": "dormant workspaces are deleted after, in ms",
    "require_active_version": "starts use the active version",
    "deprecation_message": "deprecated because",
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
