"""How a template is doing: who uses it, how its jobs end, where the time goes."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from templates_app import insights, statistics
from templates_app.pages.base import TemplateSection
from templates_app.pages.template import times_chart, users_chart


class TemplateInsights(TemplateSection):
    """The last 30 days. There are no workspaces yet: runs are dry runs."""

    tab = "insights"

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        use = statistics.use_of([self.template.pk])[self.template.pk]
        daily = use.daily_run_times
        found = insights.insights_of(self.template.pk)
        context = {
            "insights": found,
            "users_chart": users_chart(use.daily_users),
            "times_chart": times_chart(daily),
            "days": list(zip(statistics.last_days(), use.daily_users, daily, strict=True))[::-1],
            "has_times": any(day.count for day in daily),
            "busiest": max(use.daily_users),
        }
        return self.show("templates_app/insights.html", self.frame("Insights") | context)
