"""Insights of a template: active developers, results of jobs, slow stages."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from templates_app.pages.base import TemplateSection
from templates_app.pages.template import times_card, users_card
from templates_app.statistics import insights, usage


class TemplateInsights(TemplateSection):
    """The last 30 days. There are no workspaces yet: runs are dry runs."""

    tab = "insights"

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        use = usage.usage_of([self.template.pk])[self.template.pk]
        found = insights.insights_of(self.template.pk)
        context = {
            "insights": found,
            "charts": [users_card(use.daily_users), times_card(use.daily_run_times)],
            "busiest": max(use.daily_users),
        }
        return self.show("templates_app/insights.html", self.frame("Insights") | context)
