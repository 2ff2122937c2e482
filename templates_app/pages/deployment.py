"""Insights of the deployment: active developers, results of imports, waiting times, slow stages."""

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from coderproj.base.errors import NotFound
from coderproj.console import charts
from coderproj.console.charts import Series
from coderproj.console.templatetags.console import duration
from coderproj.console.views import SignedInPage
from templates_app.statistics import deployment
from templates_app.statistics.deployment import DAYS, DeploymentInsights, Scope


class InsightsPage(SignedInPage):
    """The last 30 days, for users who manage templates. Others get 404."""

    section = "insights"
    scope: Scope

    def prepare(self) -> None:  # type: ignore[override]
        scope = deployment.scope_of(self.actor)
        if scope is None:
            raise NotFound
        self.scope = scope

    def get(self, request: HttpRequest) -> HttpResponseBase:
        found = deployment.insights_of(self.scope)
        context = {
            "insights": found,
            "everywhere": self.scope.everywhere,
            "charts": [users_card(found), waiting_card(found)] if found.jobs else [],
        }
        return self.show("templates_app/deployment.html", context)


def users_card(found: DeploymentInsights) -> charts.Card:
    days = [day.day for day in found.days]
    series = Series("developers", [float(day.users) for day in found.days])
    label = f"Developers who started a build or a dry run, on each of the last {DAYS} days"
    return charts.Card(
        key="users",
        title="Daily active developers",
        note="started a build or a dry run",
        chart=charts.line_chart([series], days, label) if found.busiest else "",
        none="No build or dry run was started.",
        none_url=reverse("templates"),
        none_link="Try a template",
        summary="Numbers by day",
        columns=("Developers", "Jobs", "Failed"),
        rows=[(day.day, (day.users, day.jobs, day.failed)) for day in found.days[::-1]],
    )


def waiting_card(found: DeploymentInsights) -> charts.Card:
    days = [day.day for day in found.days]
    series = [
        Series("p50", [_number(day.waited_p50) for day in found.days]),
        Series("p95", [_number(day.waited_p95) for day in found.days]),
    ]
    label = f"How long jobs waited for a daemon, on each of the last {DAYS} days: median and 95th percentile"
    waited = [day for day in found.days[::-1] if day.waited_p50 is not None]
    return charts.Card(
        key="waiting",
        title="Waiting for a daemon",
        lines=("p50", "p95"),
        chart=charts.line_chart(series, days, label, text=duration) if found.waited_p50 is not None else "",
        none="No job has been claimed yet.",
        none_url=reverse("daemons"),
        none_link="See the daemons",
        summary=f"Times by day, the longest {duration(found.waited_longest)}",
        columns=("p50", "p95"),
        rows=[(day.day, (duration(day.waited_p50), duration(day.waited_p95))) for day in waited],
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
