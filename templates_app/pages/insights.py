"""Insights of a template: active users, builds and their success, times, stages, errors, values of parameters."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.base.errors import NotFound
from coderproj.console.csv_files import csv_file
from templates_app.pages.base import TemplateSection
from templates_app.pages.insight_tables import cards, kind_rows, range_of, tables_of
from templates_app.statistics import insights
from templates_app.statistics.figures import RANGES


class TemplateInsights(TemplateSection):
    """The last 7, 30 or 90 days. ``csv`` in the address names a table to download."""

    tab = "insights"

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        days = range_of(request)
        found = insights.of_template(self.template.pk, days)
        if (table := request.GET.get("csv")) is not None:
            tables = tables_of(found.figures) if found else {}
            if table not in tables:
                raise NotFound
            return csv_file(f"{self.template.name}-{table}-{days}-days", *tables[table])
        context = {"days": days, "ranges": RANGES, "found": found}
        if found is not None:
            context |= {"insights": found.figures, "charts": cards(found.figures), "kinds": kind_rows(found.figures)}
        return self.show("templates_app/insights.html", self.frame("Insights") | context)
