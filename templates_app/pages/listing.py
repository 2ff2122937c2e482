"""All templates, and how each one is doing."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypedDict

from django.db.models import OuterRef, Subquery
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.safestring import SafeString

from coderproj.base.errors import Invalid
from coderproj.console import charts
from coderproj.console.addresses import page_url
from coderproj.console.paging import slice_of
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
from templates_app.statistics import usage

PAGE_SIZE = 50
SHOWN_FIELDS = (
    *("name", "display_name", "description", "icon", "deleted", "updated_at"),
    *("organization__name", "active_version__name"),
)
SHOWN = {"active": "Active", "failing": "Import failing", "all": "All"}


class Row(TypedDict):
    """A template in the list, with its active and newest versions. Addresses are empty for a deleted one, which has no
    page, ``status`` (of the newest import) for one without versions. Times in seconds."""

    name: str
    description: str
    icon: str
    url: str
    active: str
    active_url: str
    newest: str
    newest_url: str
    status: str
    users_today: int
    sparkline: SafeString
    p50: float | None
    p95: float | None
    updated_at: datetime


class Newest(NamedTuple):
    """The version of a template that was pushed last, with the status of its import."""

    name: str
    status: str


class TemplatesPage(SignedInPage):
    """The templates that one may read, with search and filters in the address."""

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
            "rows": rows_of(found.rows),
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
        return templates.select_related(None).select_related("organization", "active_version").only(*SHOWN_FIELDS)

    def _around(self, has_templates: bool) -> dict[str, Any]:
        """What stands around the list: figures, and where to begin when it is empty."""
        may_create = may_create_somewhere(self.actor)
        return {
            "jobs": job_figures(self.actor),
            "daemons": daemon_figures(),
            "may_create": may_create,
            "starters": starters.starters() if may_create and not has_templates else (),
            "is_empty": not has_templates,
        }


def rows_of(templates: Sequence[Template]) -> list[Row]:
    """The rows of the list: two queries, however many templates there are."""
    newest = _newest_versions(templates)
    use = usage.summaries_of([template.pk for template in templates])
    return [_row(template, newest.get(template.pk), use[template.pk]) for template in templates]


def _row(template: Template, newest: Newest | None, use: usage.Summary) -> Row:
    active = template.active_version
    return Row(
        name=template.display_name or template.name,
        description=template.description or template.name,
        icon=template.icon,
        url="" if template.deleted else template_url(template),
        active=active.name,
        active_url="" if template.deleted else _url_of(template, active.name),
        newest=newest.name if newest else "",
        newest_url=_url_of(template, newest.name) if newest and not template.deleted else "",
        status=newest.status if newest else "",
        users_today=use.users_today,
        sparkline=charts.sparkline(use.daily_users, _in_words(use)),
        p50=use.run_times.p50,
        p95=use.run_times.p95,
        updated_at=template.updated_at,
    )


def _newest_versions(templates: Sequence[Template]) -> Mapping[uuid.UUID, Newest]:
    """By the template."""
    ids = [template.newest_id for template in templates if template.newest_id]  # type: ignore[attr-defined]
    versions = TemplateVersion.objects.filter(pk__in=ids).annotate(status=status_expression("job__"))
    return {
        template_id: Newest(name, status)
        for template_id, name, status in versions.values_list("template_id", "name", "status")
    }


def _url_of(template: Template, version_name: str) -> str:
    return page_url("version", template.organization.name, template.name, version_name)


def _in_words(use: usage.Summary) -> str:
    return f"Between {min(use.daily_users)} and {max(use.daily_users)} developers a day in {len(use.daily_users)} days"


def may_create_somewhere(actor: Actor) -> bool:
    """Whether there is an organization in which the actor may create templates."""
    return allowed_everywhere(actor, Action.CREATE, Resource.TEMPLATE) or bool(
        organizations_where(actor, Action.CREATE, Resource.TEMPLATE)
    )
