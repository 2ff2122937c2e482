"""The differences between a version and another one of its template."""

import json
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.base.errors import Invalid
from provisioning.models import JobStatus
from templates_app.bounded import gone
from templates_app.comparison import Change, FieldChange, ItemChange, VersionComparison, compare
from templates_app.models import TemplateVersion
from templates_app.models.templates import TemplateVersionQuerySet
from templates_app.pages.addresses import version_url
from templates_app.pages.base import versions_of
from templates_app.pages.version import VersionSection
from templates_app.services import versions

# The newest versions are offered for comparison; the address accepts any.
OFFERED_VERSIONS = 200
# Labels of fields whose names are not plain.
LABELS = {
    "default_value": "default",
    "default_source_value": "default",
    "default_source_scheme": "source of the default",
    "allow_override_source": "may be overridden",
    "redisplay_value": "value is shown",
    "validation_regex": "pattern",
    "validation_error": "error text",
    "validation_condition": "condition",
    "validation_min": "at least",
    "validation_max": "at most",
    "validation_monotonic": "changes",
    "hide": "hidden",
    "daily_cost": "credits a day",
}
USUALLY_TRUE = frozenset({"allow_override_source", "redisplay_value"})
WORDS = {Change.ADDED: "Added", Change.REMOVED: "Removed", Change.CHANGED: "Changed"}


@dataclass(frozen=True, slots=True)
class FieldRow:
    """A field of a parameter or resource as text; empty on a side without it."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ItemRow:
    """A parameter or resource that differs. ``kind`` is the change, ``word`` its label."""

    name: str
    kind: str
    word: str
    fields: list[FieldRow]


class VersionChanges(VersionSection):
    """The version compared with the one before it, or with the one in ``?with=``."""

    tab = "changes"

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        others = self._others()
        wanted = request.GET.get("with", "")
        other = others.filter(name=wanted).first() if wanted else None
        unknown = wanted if wanted and other is None else ""
        if other is None:
            earlier = versions.previous(self.version)
            other = others.filter(pk=earlier.pk).first() if earlier else None
        context: dict[str, Any] = {
            "other": other,
            "unknown": unknown,
            "names": list(others.values_list("name", flat=True)[:OFFERED_VERSIONS]),
            "address": version_url(self.version, "version-changes"),
        }
        if other is not None:
            context |= self._compared(other)
        return self.show("templates_app/changes.html", self.frame("Changes") | context)

    def _others(self) -> TemplateVersionQuerySet:
        """Every other version of the template, newest first."""
        template = self.version.template
        if template is None:
            return TemplateVersion.objects.none()
        return versions_of(template).exclude(pk=self.version.pk)

    def _compared(self, other: TemplateVersion) -> dict[str, Any]:
        """Return the differences. Without a successful import, only those of files are known."""
        both = (other, self.version)
        unfinished = [version for version in both if version.job.status != JobStatus.SUCCEEDED]
        context: dict[str, Any] = {"other_url": self._url_of(other), "unfinished": unfinished}
        try:
            found = compare(self.actor, other, self.version, is_gone=gone(self.request))
        except Invalid as error:
            return context | {"problem": " ".join(filter(None, (error.message, error.detail)))}
        parameters = [] if unfinished else [item_row(item) for item in found.parameters]
        resources = [] if unfinished else [item_row(item) for item in found.resources]
        return context | {
            "files": found.files,
            "not_compared": found.not_compared,
            "parameters": parameters,
            "resources": resources,
            "nothing": found.files == () and not parameters and not resources,
            **_sums(found),
        }

    def _url_of(self, other: TemplateVersion) -> str:
        other.template = self.version.template
        return version_url(other)


def item_row(item: ItemChange) -> ItemRow:
    """Return a change as text. Of added and removed items, only fields with unusual values are shown."""
    shown = (field for field in item.fields if item.change == Change.CHANGED or _is_unusual(field))
    rows = (FieldRow(_label(field.name), _text(field.before), _text(field.after)) for field in shown)
    return ItemRow(item.name, item.change.value, WORDS[item.change], [row for row in rows if row.before or row.after])


def _is_unusual(field: FieldChange) -> bool:
    value = field.before if field.after is None else field.after
    if isinstance(value, bool):
        return value is not (field.name in USUALLY_TRUE)
    return field.name != "default_source_scheme" and value not in (None, 0, "", [])


def _label(name: str) -> str:
    return LABELS.get(name, name.replace("_", " "))


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list() if all(isinstance(option, dict) and "name" in option for option in value):
            return ", ".join(f"{option['name']} ({option.get('value', '')})" for option in value)
        case list() | dict():
            return json.dumps(value, ensure_ascii=False)
    return str(value)


def _sums(found: VersionComparison) -> dict[str, int]:
    files = found.files or ()
    return {"lines_added": sum(file.added for file in files), "lines_removed": sum(file.removed for file in files)}
