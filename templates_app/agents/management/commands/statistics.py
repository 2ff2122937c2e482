"""``manage.py statistics``: refresh, show."""

import time
from typing import Any

from django.core.management.base import CommandError

from coderproj.commands import REJECTED, ActionCommand, format_time
from templates_app.agents.services import refreshing
from templates_app.models import StatisticsProgress, TemplateStatistics
from templates_app.statistics.progress import ROW


class Command(ActionCommand):
    help = "Count the use of templates now, or show what was counted. Workers count twice a minute."

    def add_actions(self, actions: Any) -> None:
        refresh = actions.add_parser("refresh", help="count what has happened, and calculate the insights")
        refresh.add_argument("--all", action="store_true", help="look at all stored jobs and reports again")
        actions.add_parser("show", help="show the figures of all templates")

    def act_refresh(self, options: dict[str, Any]) -> Any:
        began = time.monotonic()
        if options["all"] and not refreshing.start_again():
            raise CommandError("A worker counts at the moment. Try again.", returncode=REJECTED)
        done = refreshing.refresh(lambda: False, calculate=True)
        seconds = time.monotonic() - began
        self.write(f"Refreshed: {done} changes in {seconds:.1f} s.")
        return {"changes": done, "seconds": seconds}

    def act_show(self, options: dict[str, Any]) -> Any:
        progress = StatisticsProgress.objects.filter(pk=ROW).first()
        rows = TemplateStatistics.objects.select_related("template__organization").filter(template__deleted=False)
        found = [
            {
                "organization": row.template.organization.name,
                "template": row.template.name,
                "active_users": row.active_users,
                "workspace_owners": row.workspace_owners,
                "counted_at": row.counted_at and row.counted_at.isoformat(),
            }
            for row in rows.order_by("template__organization__name", "template__name")
        ]
        self.table(
            ("Template", "Active users", "Owners of workspaces"),
            [
                (f"{row['organization']}/{row['template']}", _dash(row["active_users"]), row["workspace_owners"])
                for row in found
            ],
            "No template has been counted yet.",
        )
        until = progress.until if progress else None
        self.write(f"Counted until {format_time(until)}." if until else "No worker has counted yet.")
        return {"counted_until": until and until.isoformat(), "templates": found}


def _dash(value: Any) -> Any:
    return "-" if value is None else value
