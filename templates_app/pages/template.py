"""A template: overview, versions, and promoting a version."""

from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.base.errors import NotFound
from coderproj.base.identifiers import parse_uuid
from coderproj.console import charts
from coderproj.console.paging import slice_of
from coderproj.console.templatetags.console import duration
from coderproj.console.views import SignedInPage
from coderproj.identity.rbac import Action
from provisioning.engine.base import Transition
from templates_app.bounded import gone
from templates_app.models import Template, TemplateVersion
from templates_app.pages.addresses import template_url
from templates_app.pages.base import (
    TemplateSection,
    VersionRow,
    version_rows,
    versions_of,
)
from templates_app.pages.resources import resource_sets
from templates_app.pages.trying import form_context
from templates_app.parameter_form import fields_of, initial, shown_of
from templates_app.rendering import html_of
from templates_app.services import access, templates
from templates_app.statistics import usage

VERSIONS_ON_OVERVIEW = 8
PAGE_SIZE = 30
WEEK = 7
HOUR_MS = 3_600_000


class TemplateOverview(TemplateSection):
    """The overview: whether the newest version is active, usage, durations, the resources of a workspace, and the
    parameters of developers."""

    tab = "overview"

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        rows = version_rows(self.template, versions_of(self.template)[:VERSIONS_ON_OVERVIEW], manages=self.manages)
        use = usage.usage_of([self.template.pk])[self.template.pk]
        active = self.template.active_version
        active.template = self.template
        fields = fields_of(active)
        html = html_of(active, fields, user=self.actor.id, is_gone=gone(request))
        running = resource_sets(active, Transition.START)
        context: dict[str, Any] = {
            "versions": rows,
            "notice": notice_of(rows),
            "use": use,
            "change": _change_in_a_week(use.daily_users),
            "cost": sum(found.daily_cost for found in running),
            "charts": [users_card(use.daily_users), times_card(use.daily_run_times)],
            "readme": html.readme,
            "default_hours": self.template.default_ttl_ms / HOUR_MS,
            "sets": running,
            **form_context(self.actor, active, fields, initial(shown_of(fields)), html),
        }
        return self.show("templates_app/template.html", self.frame() | context)


class TemplateVersionsPage(TemplateSection):
    """All versions of a template."""

    tab = "versions"

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        found = slice_of(request, versions_of(self.template), PAGE_SIZE)
        rows = version_rows(self.template, found.rows, manages=self.manages)
        return self.show(
            "templates_app/template_versions.html", self.frame("Versions") | {"versions": rows, "slice": found}
        )


class PromotePage(TemplateSection):
    """Asks for confirmation, and makes a version active. Dialogs of other pages post here."""

    tab = "versions"
    version: TemplateVersion

    def prepare(self, **route: str) -> None:
        super().prepare(**route)
        access.authorize(self.actor, Action.UPDATE, self.template)
        version = versions_of(self.template).filter(name=route["version"]).first()
        if version is None:
            raise NotFound
        self.version = version

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        (row,) = version_rows(self.template, [self.version], manages=self.manages)
        return self.show("templates_app/promote.html", self.frame(self.version.name) | {"row": row})

    def post(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        templates.promote(self.actor, self.template, self.version.pk)
        message = f"{self.version.name} is now the active version: new workspaces are built from it."
        return self.go(template_url(self.template), message)


class ShortAddress(SignedInPage):
    """``/templates/<name>``: redirects to the template of that name, preferably in the default organization, or of that
    ID."""

    def get(self, request: HttpRequest, name: str) -> HttpResponseBase:
        wanted = Q(pk=template_id) if (template_id := parse_uuid(name)) else Q(name__iexact=name)
        found = Template.objects.visible(self.actor).select_related("organization").filter(wanted)
        template = found.order_by("-organization__is_default", "organization__created_at").first()
        if template is None:
            raise NotFound
        return self.go(template_url(template))


# ---------------------------------------------------------------------- parts of the overview
def notice_of(rows: list[VersionRow]) -> VersionRow | None:
    """Return the newest version unless it is active: it needs attention."""
    newest = next((row for row in rows if not row.version.archived), None)
    return newest if newest is not None and not newest.is_active else None


def _change_in_a_week(users: list[int]) -> float | None:
    """Return the difference between today's number and that of a week ago in percent; None if that was zero."""
    before = users[-1 - WEEK] if len(users) > WEEK else 0
    return 100 * (users[-1] - before) / before if before else None


def users_card(users: list[int]) -> charts.Card:
    days = usage.last_days()
    label = f"Daily active developers over {len(users)} days, between {min(users)} and {max(users)}"
    return charts.Card(
        key="users",
        title="Daily active developers",
        note="30 days, weekends shaded",
        chart=charts.line_chart([charts.Series("developers", users)], days, label),
        summary="Numbers by day",
        columns=("Developers",),
        rows=[(day, (count,)) for day, count in zip(days, users, strict=True)][::-1],
    )


def times_card(daily: list[usage.RunTimes]) -> charts.Card:
    days = usage.last_days()
    series = [
        charts.Series("p50", [day.p50 for day in daily]),
        charts.Series("p95", [day.p95 for day in daily]),
    ]
    label = f"Build time over {len(daily)} days, median and 95th percentile"
    rows = [
        (day, (duration(times.p50), duration(times.p95), times.count))
        for day, times in zip(days, daily, strict=True)
        if times.count
    ]
    return charts.Card(
        key="times",
        title="Build time",
        lines=("p50", "p95"),
        chart=charts.line_chart(series, days, label, text=duration) if rows else "",
        none="No build and no dry run has succeeded in the last 30 days.",
        summary="Times by day",
        columns=("p50", "p95", "Builds"),
        rows=rows[::-1],
    )
