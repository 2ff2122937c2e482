"""Templates and versions in the global search."""

from collections.abc import Sequence

from django.db.models import Q

from coderproj.base.identifiers import parse_uuid
from coderproj.console.search import Hit, Source
from coderproj.identity.actor import Actor
from templates_app.models import Template, TemplateVersion
from templates_app.pages.addresses import template_url, version_url


def find_templates(actor: Actor, text: str, count: int) -> Sequence[Hit]:
    matches = Q(name__icontains=text) | Q(display_name__icontains=text)
    if template_id := parse_uuid(text):
        matches |= Q(pk=template_id)
    rows = Template.objects.visible(actor).filter(matches).select_related("organization").order_by("name", "id")
    return [
        Hit(template_url(row), row.display_name or row.name, row.description, "layout-template") for row in rows[:count]
    ]


def find_versions(actor: Actor, text: str, count: int) -> Sequence[Hit]:
    """Return versions by ID or the beginning of their name, newest first."""
    matches = Q(name__istartswith=text)
    if version_id := parse_uuid(text):
        matches |= Q(pk=version_id)
    rows = TemplateVersion.objects.visible(actor).filter(matches).exclude(template__deleted=True)
    rows = rows.select_related("template__organization").order_by("-created_at", "-id")
    return [Hit(version_url(row), row.name, _where(row), "git-commit-horizontal") for row in rows[:count]]


def _where(version: TemplateVersion) -> str:
    if version.template is None:
        return "without a template"
    name = version.template.display_name or version.template.name
    return f"of {name}: {version.message}" if version.message else f"of {name}"


SOURCES = [
    Source("Templates", 10, find_templates, "/templates?q="),
    Source("Versions", 20, find_versions),
]
