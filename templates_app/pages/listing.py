"""The list of templates, with their usage."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import OuterRef, Subquery
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from coderproj.base.errors import Invalid
from coderproj.console import cells, charts
from coderproj.console.addresses import page_url
from coderproj.console.lists import Column, Listing
from coderproj.console.paging import slice_of
from coderproj.console.templatetags.console import DASH, ago, duration, icon, status, tile
from coderproj.console.views import SignedInPage
from coderproj.identity.actor import Actor
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, organizations_where
from provisioning.models import JobStatus
from provisioning.models.jobs import status_expression
from provisioning.queue.figures import daemon_figures, job_figures
from templates_app import starters
from templates_app.filters import search_templates
from templates_app.models import Template, TemplateVersion
from templates_app.models.templates import TemplateQuerySet
from templates_app.pages.addresses import template_url
from templates_app.pages.base import ActionLink, actions_on
from templates_app.statistics import usage

PAGE_SIZE = 50
SHOWN = {"active": "Active", "failing": "Import failing", "all": "All"}


class Newest(NamedTuple):
    """The newest version of a template, with the status of its import."""

    name: str
    status: str


@dataclass(frozen=True, slots=True)
class Row:
    """A template in the list, with what is read for all rows at once. ``newest`` is None without versions."""

    template: Template
    newest: Newest | None
    use: usage.Summary
    actions: Sequence[ActionLink] = ()


# ---------------------------------------------------------------------- cells. A deleted template has no page.
def _template_entity(row: Row) -> SafeString:
    template = row.template
    name = template.display_name or template.name
    note = template.description or template.name
    if template.deprecated:
        note = f"Deprecated: {template.deprecation_message}"
    if template.deleted:
        return cells.entity(tile(template.icon), format_html('{} <span class="tag plain">Deleted</span>', name), note)
    return cells.entity(tile(template.icon), name, note, url=template_url(template))


def _sparkline(row: Row) -> SafeString:
    users = row.use.daily_users
    label = f"Between {min(users)} and {max(users)} developers a day in {len(users)} days"
    return charts.sparkline(users, label)


def _active_version(row: Row) -> SafeString:
    name = row.template.active_version.name
    if row.template.deleted:
        return format_html('<span class="mono">{}</span>', name)
    return format_html('<a class="mono" href="{}">{}</a>', _version_url(row.template, name), name)


def _newest_import(row: Row) -> SafeString:
    if row.newest is None:
        return cells.muted(DASH)
    chip = status(row.newest.status, chip=True)
    if row.template.deleted:
        return chip
    url = _version_url(row.template, row.newest.name)
    return format_html('<a href="{}" title="{}">{}</a>', url, row.newest.name, chip)


def _actions(row: Row) -> SafeString:
    name = row.template.display_name or row.template.name
    return format_html_join(
        " ",
        '<a class="button small row-action" href="{}" title="{}" aria-label="{} from {}">{}<span>{}</span></a>',
        ((action.url, action.label, action.label, name, icon(action.icon), action.label) for action in row.actions),
    )


def _version_url(template: Template, version_name: str) -> str:
    return page_url("version", template.organization.name, template.name, version_name)


TEMPLATE_LIST = Listing[Row](
    Column(
        "Template",
        _template_entity,
        ("name", "display_name", "description", "deprecation_message", "icon", "deleted", "organization__name"),
        "full",
        phone_label="",
    ),
    Column("Developers today", lambda row: row.use.users_today, (), "number"),
    Column("30 days", _sparkline),
    Column("Build p50", lambda row: duration(row.use.run_times.p50), (), "number right"),
    Column("Build p95", lambda row: duration(row.use.run_times.p95), (), "number right muted not-on-phones"),
    Column("Active version", _active_version, ("active_version__name",), "wide"),
    Column("Newest import", _newest_import),
    Column("Updated", lambda row: ago(row.template.updated_at), ("updated_at",), "muted number not-on-phones"),
    Column("Actions", _actions, ("organization",), "right full", hide_heading=True),
)


class TemplatesPage(SignedInPage):
    """The visible templates, with search and filters in the address."""

    section = "templates"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        query = request.GET.get("q", "").strip()
        show = request.GET.get("show", "active")
        if show not in SHOWN:
            show = "active"
        problem = ""
        try:
            templates = self._templates(query, show)
        except Invalid as error:
            templates, problem = Template.objects.none(), " ".join(found.detail for found in error.problems)
        found = slice_of(request, templates, PAGE_SIZE)
        context: dict[str, Any] = {
            "templates": TEMPLATE_LIST.table(rows_of(self.actor, found.rows)),
            "slice": found,
            "q": query,
            "show": show,
            "tabs": SHOWN.items(),
            "problem": problem,
        }
        if not self.wants_part:
            context |= self._around(bool(found.rows or query or show != "active" or found.number > 1))
        return self.show("templates_app/template_list.html", context, part="templates_app/_templates.html")

    def _templates(self, query: str, show: str) -> TemplateQuerySet:
        templates = search_templates(self.actor, {"q": query})
        if show == "all":
            templates = templates | search_templates(self.actor, {"q": query, "deleted": "true"})
        newest = TemplateVersion.objects.filter(template=OuterRef("pk"), archived=False).order_by("-created_at", "-id")
        if show == "failing":
            status = newest.annotate(status=status_expression("job__")).values("status")[:1]
            templates = templates.alias(newest_status=Subquery(status)).filter(newest_status=JobStatus.FAILED)
        templates = templates.annotate(newest_id=Subquery(newest.values("pk")[:1])).most_used_first()
        return TEMPLATE_LIST.fetch(templates)

    def _around(self, has_templates: bool) -> dict[str, Any]:
        """Return the context around the list: figures, and starters if it is empty."""
        may_create = may_create_somewhere(self.actor)
        return {
            "jobs": job_figures(self.actor),
            "daemons": daemon_figures(),
            "may_create": may_create,
            "starters": starters.starters() if may_create and not has_templates else (),
            "is_empty": not has_templates,
        }


def rows_of(actor: Actor, templates: Sequence[Template]) -> list[Row]:
    """Return the rows of the list. Two queries."""
    newest = _newest_versions(templates)
    use = usage.summaries_of([template.pk for template in templates])
    return [
        Row(
            template,
            newest.get(template.pk),
            use[template.pk],
            () if template.deleted else actions_on(actor, template),
        )
        for template in templates
    ]


def _newest_versions(templates: Sequence[Template]) -> Mapping[uuid.UUID, Newest]:
    """Return the newest versions by template ID."""
    ids = [template.newest_id for template in templates if template.newest_id]  # type: ignore[attr-defined]
    versions = TemplateVersion.objects.filter(pk__in=ids).annotate(status=status_expression("job__"))
    return {
        template_id: Newest(name, status)
        for template_id, name, status in versions.values_list("template_id", "name", "status")
    }


def may_create_somewhere(actor: Actor) -> bool:
    """Return True if the actor may create templates in any organization."""
    return allowed_everywhere(actor, Action.CREATE, Resource.TEMPLATE) or bool(
        organizations_where(actor, Action.CREATE, Resource.TEMPLATE)
    )
