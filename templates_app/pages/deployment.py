"""Insights of the deployment or an organization: active users, builds by template, times, stages."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.base.errors import NotFound
from coderproj.base.identifiers import parse_uuid
from coderproj.console.csv_files import csv_file
from coderproj.console.views import SignedInPage
from templates_app.pages.insight_tables import cards, kind_rows, range_of, tables_of
from templates_app.statistics import deployment, insights
from templates_app.statistics.deployment import Scope
from templates_app.statistics.figures import RANGES


class InsightsPage(SignedInPage):
    """The last 7, 30 or 90 days, for users who manage templates. Others get 404. ``organization`` in the address is the
    id of one, ``csv`` names a table to download."""

    section = "insights"
    scopes: list[Scope]
    scope: Scope

    def prepare(self) -> None:  # type: ignore[override]
        self.scopes = deployment.scopes_of(self.actor)
        wanted = self.request.GET.get("organization", "")
        matching = (
            [scope for scope in self.scopes if scope.organization == parse_uuid(wanted)] if wanted else self.scopes
        )
        if not matching:
            raise NotFound
        self.scope = matching[0]

    def get(self, request: HttpRequest) -> HttpResponseBase:
        days = range_of(request)
        found = insights.of_organization(self.scope.organization, days)
        templates = deployment.templates_of(self.scope, days) if found else []
        if (table := request.GET.get("csv")) is not None:
            tables = tables_of(found.figures, templates) if found else {}
            if table not in tables:
                raise NotFound
            return csv_file(f"insights-{table}-{days}-days", *tables[table])
        context = {"days": days, "ranges": RANGES, "scopes": self.scopes, "scope": self.scope, "found": found}
        if found is not None:
            context |= {
                "insights": found.figures,
                "templates": templates,
                "charts": cards(found.figures),
                "kinds": kind_rows(found.figures),
            }
        return self.show("templates_app/deployment.html", context)
