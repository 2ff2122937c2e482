"""How the whole deployment is doing: who works, how imports end, how long jobs wait, where the time goes."""

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.console import charts
from coderproj.console.charts import Series
from coderproj.console.templatetags.console import duration
from coderproj.console.views import SignedInPage
from coderproj.errors import NotFound
from templates_app import deployment_insights
from templates_app.deployment_insights import DAYS, DeploymentInsights, Scope


class InsightsPage(SignedInPage):
    """The last 30 days, for those who look after templates. For others the page does not exist."""

    section = "insights"
    scope: Scope

    def prepare(self) -> None:  # type: ignore[override]
        scope = deployment_insights.scope_of(self.actor)
        if scope is None:
            raise NotFound
        self.scope = scope

    def get(self, request: HttpRequest) -> HttpResponseBase:
        found = deployment_insights.insights_of(self.scope)
        context = {
            "insights": found,
            "everywhere": self.scope.everywhere,
            "users_chart": users_chart(found) if found.busiest else "",
            "waiting_chart": waiting_chart(found) if found.waited_p50 is not None else "",
            "days": found.days[::-1],
        }
        return self.show("templates_app/deployment.html", context)


def users_chart(found: DeploymentInsights) -> Any:
    return charts.line_chart(
        [Series("developers", [float(day.users) for day in found.days])],
        [day.day for day in found.days],
        f"Developers who started a build or a dry run, on each of the last {DAYS} days",
    )


def waiting_chart(found: DeploymentInsights) -> Any:
    return charts.line_chart(
        [
            Series("p50", [_number(day.waited_p50) for day in found.days]),
            Series("p95", [_number(day.waited_p95) for day in found.days]),
        ],
        [day.day for day in found.days],
        f"How long jobs waited for a daemon, on each of the last {DAYS} days: median and 95th percentile",
        text=duration,
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
