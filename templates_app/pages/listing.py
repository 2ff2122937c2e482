"""All templates, and how each one is doing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import OuterRef, Q, Subquery
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.safestring import SafeString

from coderproj.console import charts
from coderproj.console.paging import slice_of
from coderproj.console.views import SignedInPage
from coderproj.errors import Invalid
from coderproj.identity.actor import Actor
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, organizations_where
from provisioning.figures import daemon_figures, job_figures
from provisioning.models import JobStatus
from provisioning.models.jobs import status_expression
from templates_app import starters, statistics
from templates_app.filters import search_templates
from templates_app.models import Template, TemplateVersion
from templates_app.pages.addresses import template_url, version_url
from templates_app.querysets import TemplateQuerySet

PAGE_SIZE = 50
SHOWN = {"active": "Active", "failing": "Import failing", "all": "All"}


@dataclass(frozen=True, slots=True)
class Row:
    """A template in the list. ``url`` is empty for a deleted one, which has no page."""

    template: Template
    url: str
    active_url: str
    newest: TemplateVersion | None
    newest_url: str
    use: statistics.Use
    sparkline: SafeString


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
        if not getattr(request, "htmx", False):
            context |= self._around(bool(found.rows or query or show != "active" or found.number > 1))
        return self.show("templates_app/templates.html", context, part="templates_app/_templates.html")

    def _templates(self, query: str, show: str) -> TemplateQuerySet:
        if show == "all" and not query:
            templates = Template.objects.readable(self.actor)
        else:
            templates = search_templates(self.actor, {"q": query})
        templates = with_newest(templates)
        if show == "failing":
            templates = templates.filter(Q(newest_status=JobStatus.FAILED))
        shown = templates.most_used_first().select_related("organization", "active_version")
        return shown.defer("active_version__readme")

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


def with_newest(templates: TemplateQuerySet) -> TemplateQuerySet:
    """Adds ``newest_id`` and ``newest_status``: of the version that was pushed last and is not archived."""
    versions = TemplateVersion.objects.filter(template=OuterRef("pk"), archived=False).order_by("-created_at", "-id")
    return templates.annotate(
        newest_id=Subquery(versions.values("pk")[:1]),
        newest_status=Subquery(versions.annotate(status=status_expression("job__")).values("status")[:1]),
    )


def rows_of(templates: Sequence[Template]) -> list[Row]:
    """The rows of the list: two queries, however many templates there are."""
    newest = _newest_versions(templates)
    use = statistics.use_of([template.pk for template in templates])
    rows = []
    for template in templates:
        version = newest.get(template.pk)
        used = use[template.pk]
        rows.append(
            Row(
                template=template,
                url="" if template.deleted else template_url(template),
                active_url="" if template.deleted else _version_url(template, template.active_version),
                newest=version,
                newest_url="" if template.deleted or version is None else _version_url(template, version),
                use=used,
                sparkline=charts.sparkline(used.daily_users, _in_words(used)),
            )
        )
    return rows


def _newest_versions(templates: Sequence[Template]) -> Mapping[Any, TemplateVersion]:
    ids = [template.newest_id for template in templates if template.newest_id]  # type: ignore[attr-defined]
    versions = TemplateVersion.objects.filter(pk__in=ids).select_related("job").defer("readme")
    return {version.template_id: version for version in versions}


def _version_url(template: Template, version: TemplateVersion) -> str:
    version.template = template
    return version_url(version)


def _in_words(use: statistics.Use) -> str:
    return f"Between {min(use.daily_users)} and {max(use.daily_users)} developers a day in {len(use.daily_users)} days"


def may_create_somewhere(actor: Actor) -> bool:
    """Whether there is an organization in which the actor may create templates."""
    return allowed_everywhere(actor, Action.CREATE, Resource.TEMPLATE) or bool(
        organizations_where(actor, Action.CREATE, Resource.TEMPLATE)
    )
