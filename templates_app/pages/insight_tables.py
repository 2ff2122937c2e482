"""What both pages of insights show: the range, the charts, and the tables as CSV files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from coderproj.console import charts
from coderproj.console.charts import Series
from coderproj.console.templatetags.console import duration
from templates_app.models import TimedKind
from templates_app.statistics.deployment import TemplateRow
from templates_app.statistics.figures import DEFAULT_RANGE, RANGES, Figures, Jobs, Parameter

KIND_LABELS = {
    TimedKind.START: "Starts",
    TimedKind.STOP: "Stops",
    TimedKind.DELETE: "Deletions",
    TimedKind.DRY_RUN: "Dry runs",
    TimedKind.IMPORT: "Imports",
}


def range_of(request: HttpRequest) -> int:
    """Return the number of days in the address; the default for one that is not offered."""
    text = request.GET.get("days", "")
    return int(text) if text in map(str, RANGES) else DEFAULT_RANGE


# ---------------------------------------------------------------------- charts
def cards(found: Figures) -> list[charts.Card]:
    return [_users_card(found), _builds_card(found), _times_card(found), _waiting_card(found)]


def _users_card(found: Figures) -> charts.Card:
    users = [float(day.users) for day in found.days]
    label = f"Active users on each of the last {len(users)} days, at most {found.busiest}"
    return charts.Card(
        key="users",
        title="Daily active users",
        note="had traffic in a workspace",
        chart=charts.line_chart([Series("users", users)], _days(found), label) if found.busiest else "",
        none="No workspace had traffic." if found.users is not None else "Active users are not counted.",
        summary="Numbers by day",
        columns=("Users",),
        rows=[(day.day, (day.users,)) for day in found.days[::-1] if day.users],
    )


def _builds_card(found: Figures) -> charts.Card:
    series = [
        Series("succeeded", [float(day.jobs.succeeded) for day in found.days]),
        Series("failed", [float(day.jobs.failed) for day in found.days]),
    ]
    label = f"Builds and dry runs on each of the last {len(found.days)} days, succeeded and failed"
    return charts.Card(
        key="builds",
        title="Builds and dry runs",
        lines=("succeeded", "failed"),
        chart=charts.line_chart(series, _days(found), label) if found.runs.finished else "",
        none="No build and no dry run has ended.",
        summary="Numbers by day",
        columns=("Succeeded", "Failed", "Canceled"),
        rows=[
            (day.day, (day.jobs.succeeded, day.jobs.failed, day.jobs.canceled))
            for day in found.days[::-1]
            if day.jobs.count
        ],
    )


def _times_card(found: Figures) -> charts.Card:
    return _percentiles_card(
        found, "times", "Build time", "of starts and dry runs", "No start and no dry run has succeeded.", _ran
    )


def _waiting_card(found: Figures) -> charts.Card:
    return _percentiles_card(
        found, "waiting", "Waiting for a daemon", "of builds and dry runs", "No daemon has claimed a build.", _waited
    )


def _ran(jobs: Jobs) -> tuple[float | None, float | None]:
    return jobs.p50, jobs.p95


def _waited(jobs: Jobs) -> tuple[float | None, float | None]:
    return jobs.waited_p50, jobs.waited_p95


def _percentiles_card(
    found: Figures,
    key: str,
    title: str,
    what: str,
    none: str,
    times: Callable[[Jobs], tuple[float | None, float | None]],
) -> charts.Card:
    measured = [times(day.jobs) for day in found.days]
    series = [Series("p50", [p50 for p50, _ in measured]), Series("p95", [p95 for _, p95 in measured])]
    rows = [
        (day.day, (duration(p50), duration(p95)))
        for day, (p50, p95) in zip(found.days, measured, strict=True)
        if p50 is not None
    ]
    label = f"{title} {what} on each of the last {len(found.days)} days, median and 95th percentile"
    return charts.Card(
        key=key,
        title=title,
        lines=("p50", "p95"),
        chart=charts.line_chart(series, _days(found), label, text=duration) if rows else "",
        none=none,
        summary=f"Times by day, {what}",
        columns=("p50", "p95"),
        rows=rows[::-1],
    )


def _days(found: Figures) -> list[Any]:
    return [day.day for day in found.days]


# ---------------------------------------------------------------------- tables
@dataclass(frozen=True, slots=True)
class KindRow:
    """The jobs of a kind in the table of the page."""

    label: str
    jobs: Jobs


def kind_rows(found: Figures) -> list[KindRow]:
    """Return the kinds of which there are jobs."""
    return [KindRow(label, found.kinds[kind]) for kind, label in KIND_LABELS.items() if found.kinds[kind].count]


Table = tuple[Sequence[str], list[Sequence[object]]]
TIMES = ("p50 s", "p95 s", "waited p50 s", "waited p95 s")
OUTCOMES = ("succeeded", "failed", "canceled")


def tables_of(found: Figures, templates: Sequence[TemplateRow] | None = None) -> dict[str, Table]:
    """Return the tables that can be downloaded, by name: heading and rows. Times are in seconds."""
    tables: dict[str, Table] = {
        "days": (
            ("day", "active users", *OUTCOMES, *TIMES),
            [(day.day.isoformat(), day.users, *_columns(day.jobs)) for day in found.days],
        ),
        "kinds": (
            ("kind", *OUTCOMES, *TIMES),
            [(kind.value, *_columns(found.kinds[kind])) for kind in KIND_LABELS],
        ),
        "stages": (
            ("stage", "p50 s", "p95 s", "jobs"),
            [(stage.name, stage.p50, stage.p95, stage.count) for stage in found.stages],
        ),
    }
    if templates is not None:
        tables["templates"] = (
            (
                "organization",
                "template",
                "builds",
                "succeeded",
                "failed",
                "failed imports",
                "start p50 s",
                "start p95 s",
            ),
            [
                (
                    row.organization,
                    row.name,
                    row.builds,
                    row.succeeded,
                    row.failed,
                    row.imports_failed,
                    row.p50,
                    row.p95,
                )
                for row in templates
            ],
        )
        return tables
    tables["versions"] = (
        ("version", *OUTCOMES, *TIMES),
        [(version.name, *_columns(version.jobs)) for version in found.versions],
    )
    tables["parameters"] = (
        ("parameter", "value", "workspaces", "different values"),
        [row for parameter in found.parameters for row in _values(parameter)],
    )
    return tables


def _columns(jobs: Jobs) -> tuple[object, ...]:
    return (
        *(jobs.succeeded, jobs.failed, jobs.canceled),
        *(jobs.p50, jobs.p95, jobs.waited_p50, jobs.waited_p95),
    )


def _values(parameter: Parameter) -> list[Sequence[object]]:
    """Return a row for each value, or one with the number of texts that users typed."""
    if parameter.values:
        return [(parameter.name, value.value, value.workspaces, None) for value in parameter.values]
    return [(parameter.name, None, parameter.workspaces, parameter.different)]
