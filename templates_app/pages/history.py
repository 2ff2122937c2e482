"""What was done to a template and its versions, by whom, and what that changed."""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.api.identifiers import parse_uuid
from coderproj.console.paging import slice_of
from coderproj.errors import NotFound
from coderproj.identity.filters import visible_rows
from coderproj.identity.models import AuditAction, AuditLog, Group, User
from coderproj.identity.serializers.audit import VERBS
from templates_app.models import TemplateVersion
from templates_app.pages.addresses import template_url
from templates_app.pages.base import TemplateSection, reads_audit_log

PAGE_SIZE = 30
# Fields that say which row it is, not what was done.
UNTOLD = frozenset({"id", "created_by_id", "template_id"})
LABELS = {
    "user_acl": "users",
    "group_acl": "groups",
    "default_ttl_ms": "autostop after, in ms",
    "allow_user_cancel_workspace_jobs": "developers may cancel builds",
}
LONGEST_VALUE = 300
ACTIONS = (("", "All"), ("create", "Created"), ("write", "Changed"), ("delete", "Deleted"))


@dataclass(frozen=True, slots=True)
class Changed:
    """A field with its values in words."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the audit log as the page tells it."""

    row: AuditLog
    verb: str
    what: str
    refused: bool
    changes: list[Changed]


class TemplateAudit(TemplateSection):
    """The audit log of the template and its versions, for those who may read the audit log there. For others the
    page does not exist."""

    tab = "audit"

    def prepare(self, **route: str) -> None:
        super().prepare(**route)
        if not reads_audit_log(self.actor, self.template.organization_id):
            raise NotFound

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        action = request.GET.get("action", "")
        action = action if action in AuditAction.values else ""
        who = request.GET.get("who", "").strip()
        versions = TemplateVersion.objects.filter(template=self.template).annotate(text=Cast("pk", TextField()))
        own = Q(resource_id=str(self.template.pk)) | Q(resource_id__in=versions.values("text"))
        rows = visible_rows(self.actor).filter(own)
        if action:
            rows = rows.filter(action=action)
        if who:
            rows = rows.filter(username__iexact=who)
        found = slice_of(request, rows.order_by("-time", "id"), PAGE_SIZE)
        context = {
            "events": events_of(found.rows),
            "slice": found,
            "actions": ACTIONS,
            "action": action,
            "who": who,
            "address": template_url(self.template, "template-audit"),
        }
        return self.show("templates_app/audit.html", self.frame("Audit") | context)


def events_of(rows: Iterable[AuditLog]) -> list[Event]:
    """The rows in words; ids of versions, users and groups become names. Three queries."""
    listed = list(rows)
    names = _names(listed)
    return [
        Event(
            row=row,
            verb=VERBS[AuditAction(row.action)],
            what=row.resource_type.replace("_", " "),
            refused=row.status_code >= 400,
            changes=list(_changes(row, names)),
        )
        for row in listed
    ]


def _changes(row: AuditLog, names: Mapping[str, str]) -> Iterator[Changed]:
    for field, values in row.diff.items():
        before, after = _text(values["old"], names), _text(values["new"], names)
        if field not in UNTOLD and (before or after):
            yield Changed(LABELS.get(field, field.removesuffix("_id").replace("_", " ")), before, after)


def _names(rows: Iterable[AuditLog]) -> dict[str, str]:
    """The names of versions, users and groups that the changes speak of, by id."""
    ids: dict[str, set[uuid.UUID]] = {"active_version_id": set(), "user_acl": set(), "group_acl": set()}
    for row in rows:
        for field, found in ids.items():
            values = row.diff.get(field, {})
            for side in ("old", "new"):
                value = values.get(side)
                texts = [value] if isinstance(value, str) else value or ()
                found |= {known for text in texts if (known := parse_uuid(text))}
    versions = TemplateVersion.objects.filter(pk__in=ids["active_version_id"]).values_list("pk", "name")
    users = User.objects.filter(pk__in=ids["user_acl"]).values_list("pk", "username")
    groups = Group.objects.filter(pk__in=ids["group_acl"]).values_list("pk", "name")
    return {str(pk): name for pk, name in (*versions, *users, *groups)}


def _text(value: Any, names: Mapping[str, str]) -> str:
    """A value in words, cut when it is long."""
    if value in (None, "", {}, []):
        return ""
    match value:
        case bool():
            return "yes" if value else "no"
        case dict():
            text = ", ".join(f"{names.get(key, key)}: {item}" for key, item in value.items())
        case list():
            text = json.dumps(value, ensure_ascii=False)
        case _:
            text = names.get(str(value), str(value))
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}\N{HORIZONTAL ELLIPSIS}"
