"""Calculate insights: of templates that have changed, of their organizations and of the deployment.

Their percentiles are exact, so those of a range are calculated from all its jobs, which a covering index of
``JobTime`` has; those of days only for days that have changed (``known_days``). This happens in the background, at most
for a twentieth of the time: a deployment with a million builds is calculated less often than a small one.
"""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any

from django.conf import settings
from django.db import connection

from coderproj.database.clock import database_time
from coderproj.identity.models import Organization
from templates_app.models import Insights, Outcome, ParameterUse, TemplateStatistics, TimedKind
from templates_app.statistics import figures
from templates_app.statistics.figures import RANGES, Figures, Jobs
from templates_app.statistics.known_days import first_unknown, known_days
from templates_app.statistics.progress import DAY, first_day, locked, midnight
from templates_app.statistics.queries import (
    DAILY_USERS_SQL,
    DAYS_SQL,
    ERRORS_SQL,
    KINDS_SQL,
    READY_SQL,
    STAGES_SQL,
    TOGETHER_SQL,
    USERS_SQL,
    VERSIONS_SQL,
    Scope,
    of_days,
    of_ranges,
)

PAUSE = timedelta(seconds=20)
# The share of the time for calculations is one of this.
SHARE = 20
# Seconds after which a pass begins no further template.
MOST_SECONDS = 10.0
RUN_KINDS = [kind for kind in TimedKind if kind != TimedKind.IMPORT]

# Organizations, and null for the deployment, whose insights are older than those of one of their templates.
OLDER_SQL = """
WITH newest AS (
    SELECT template.organization_id, max(one.calculated_at) AS calculated_at
      FROM templates_app_insights one JOIN templates_app_template template ON template.id = one.template_id
     WHERE one.days = %(days)s
     GROUP BY GROUPING SETS ((template.organization_id), ())
)
SELECT newest.organization_id
  FROM newest
  LEFT JOIN templates_app_insights known
         ON known.days = %(days)s AND known.template_id IS NULL
        AND known.organization_id IS NOT DISTINCT FROM newest.organization_id
 WHERE newest.calculated_at > coalesce(known.calculated_at, '-infinity')
 ORDER BY 1 NULLS LAST
"""


def refresh(is_stopping: Callable[[], bool], *, is_due: bool = False) -> int:
    """Calculate the insights that are stale, if the last calculation is long enough ago or ``is_due``. Return the
    number of scopes.

    Insights of organizations and of the deployment are stale while those of a template are newer, so a pass that ends
    early leaves the rest to the next one. A pass begins no template after MOST_SECONDS, unless it ``is_due``: the
    worker has to count as well.
    """
    began = time.monotonic()
    with locked() as progress:
        if progress is None:
            return 0
        pause = max(PAUSE, SHARE * timedelta(milliseconds=progress.insights_ms))
        now = database_time()
        if not is_due and progress.insights_at is not None and timedelta() <= now - progress.insights_at < pause:
            return 0
    rows = TemplateStatistics.objects.filter(insights_are_stale=True, stale_from=None)
    stale = [Scope("template", template) for template in rows.values_list("template_id", flat=True)]

    def must_end() -> bool:
        return is_stopping() or (not is_due and time.monotonic() - began > MOST_SECONDS)

    done = _calculate_all(stale, must_end)
    if done < len(stale):
        return done
    organizations, deployment = _older_than_templates()
    # The insights of the only organization are those of the deployment, which is the last one that ``has_work`` looks
    # at.
    is_only_one = Organization.objects.existing().count() == 1
    copies = organizations if is_only_one and deployment else []
    rest = [*(one for one in organizations if one not in copies), *deployment]
    calculated = _calculate_all(rest, is_stopping, copies=copies)
    done += calculated
    if done and calculated == len(rest):
        with locked() as progress:
            if progress is not None:
                progress.insights_at = database_time()
                progress.insights_ms = int((time.monotonic() - began) * 1000)
                # Another worker can have calculated a template since.
                if _older_than_templates() == ([], []):
                    progress.insights_from = None
    return done


def _older_than_templates() -> tuple[list[Scope], list[Scope]]:
    """Return the organizations, and the deployment if it is one of them, whose insights are older than those of one of
    their templates, or missing."""
    with connection.cursor() as cursor:
        cursor.execute(OLDER_SQL, {"days": RANGES[0]})
        found = [organization for (organization,) in cursor.fetchall()]
    organizations = [Scope("organization", one) for one in found if one is not None]
    return organizations, [Scope("all")] if None in found else []


def _calculate_all(scopes: Sequence[Scope], must_end: Callable[[], bool], copies: Sequence[Scope] = ()) -> int:
    """Calculate the scopes one by one, each in a transaction, until one ``must_end`` or another worker counts. Those in
    ``copies`` get the insights of the deployment. Return the number of calculations."""
    done = 0
    for scope in scopes:
        if must_end():
            break
        with locked() as progress:
            if progress is None:
                break
            today = midnight(database_time())
            changed_from = _take_change(scope) if scope.kind == "template" else progress.insights_from
            known = known_days(scope.keys, changed_from, today)
            rows = calculate(scope, today, known)
            for target in (scope, *(copies if scope.kind == "all" else ())):
                _store(target, rows)
            if scope.kind == "template":
                changed = first_unknown(known, today)
                progress.insights_from = min(progress.insights_from or changed, changed)
            done += 1
    return done


def _take_change(template: Scope) -> datetime | None:
    """Say that the template's insights are new. Return the first day that has changed since they were calculated; None
    if none has but the last."""
    rows = TemplateStatistics.objects.filter(template=template.id)
    changed_from: datetime | None = rows.values_list("insights_from", flat=True).first()
    rows.update(insights_are_stale=False, insights_from=None)
    return changed_from


def calculate(scope: Scope, today: datetime, known: Mapping[date, Jobs]) -> list[Insights]:
    """Return new rows with the insights of a scope, one for each range. ``known`` has the jobs of days that are not
    calculated again."""
    with connection.cursor() as cursor:
        # For sorting the times of a large deployment; compiling the expressions takes longer than it saves.
        cursor.execute("SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)")
        days = _days(cursor, scope, today, known)
        found = _figures(cursor, scope, days, today)
        stages = _stages(cursor, scope, today)
    parameters = _parameters(scope.id) if scope.kind == "template" else []
    now = database_time()
    for one in found.values():
        one.stages, one.parameters = stages, parameters
    return [_row(one, count, now) for count, one in found.items()]


def _store(scope: Scope, rows: Sequence[Insights]) -> None:
    """Replace the rows of the scope."""
    Insights.objects.filter(**scope.keys).delete()
    for row in rows:
        row.pk, row.template_id, row.organization_id = None, *scope.keys.values()
        # Rows at once would be arrays of JSON, whose quoting takes longer than three statements.
        row.save(force_insert=True)


def _row(found: Figures, days: int, now: datetime) -> Insights:
    start = found.kinds[TimedKind.START]
    builds = found.builds
    return Insights(
        days=days,
        calculated_at=now,
        figures=figures.stored(found),
        builds=builds.count,
        succeeded=builds.succeeded,
        failed=builds.failed,
        imports_failed=found.kinds[TimedKind.IMPORT].failed,
        start_p50=None if start.p50 is None else round(start.p50 * 1000),
        start_p95=None if start.p95 is None else round(start.p95 * 1000),
    )


# ---------------------------------------------------------------------- the parts
def _days(cursor: Any, scope: Scope, today: datetime, known: Mapping[date, Jobs]) -> list[figures.Day]:
    """Return all days of the longest range. The jobs of those after the ``known`` ones are calculated."""
    count = max(RANGES)
    counted = of_days(cursor, DAYS_SQL, scope, first_unknown(known, today), today)
    jobs = {**known} | {day: _jobs(columns) for day, *columns in counted}
    daily = of_days(cursor, DAILY_USERS_SQL[scope.kind], scope, first_day(today, count), today)
    users = {day.date(): number for day, number in daily}
    days = [(today - (count - 1 - index) * DAY).date() for index in range(count)]
    return [figures.Day(day, users.get(day, 0), jobs.get(day, Jobs())) for day in days]


def _figures(cursor: Any, scope: Scope, days: list[figures.Day], today: datetime) -> dict[int, Figures]:
    """Return the figures of each range, without stages and parameters."""

    def rows(sql: str) -> dict[int, list[Sequence[Any]]]:
        return of_ranges(cursor, sql, scope, today)

    kinds, together, ready, users = rows(KINDS_SQL), rows(TOGETHER_SQL), rows(READY_SQL), rows(USERS_SQL[scope.kind])
    found = {}
    for count in RANGES:
        of_kinds = {kind: _jobs(columns) for kind, *columns in kinds[count]}
        ((ran, waited, all_waited),) = together[count]
        ((agents, ready_times),) = ready[count]
        found[count] = Figures(
            days=days[-count:],
            users=users[count][0][0] if settings.STATISTICS_PER_USER else None,
            kinds={kind.value: of_kinds.get(kind, Jobs()) for kind in TimedKind},
            runs=_total(of_kinds, RUN_KINDS, ran, waited),
            jobs=_total(of_kinds, list(TimedKind), None, all_waited),
            ready=figures.Ready(agents, *_seconds(ready_times)),
        )
    if scope.kind == "template":
        for count, versions in rows(VERSIONS_SQL).items():
            ordered = sorted(versions, key=lambda row: (-row[2], row[0]))
            found[count].versions = [figures.OfVersion(name, _jobs(columns)) for name, _, _, *columns in ordered]
        for count, errors in rows(ERRORS_SQL).items():
            ordered = sorted(errors, key=lambda row: (row[1], row[2]), reverse=True)
            found[count].errors = [figures.Error(text, number, last_at) for text, number, last_at in ordered]
    return found


def _total(kinds: Mapping[str, Jobs], counted: Sequence[TimedKind], ran: Any, waited: Any) -> Jobs:
    """Return the sum of the outcomes of some kinds, with these percentiles."""
    found = [kinds[kind] for kind in counted if kind in kinds]
    succeeded, failed, canceled = (sum(getattr(jobs, outcome.value) for jobs in found) for outcome in Outcome)
    return Jobs(succeeded, failed, canceled, *_seconds(ran), *_seconds(waited))


def _jobs(columns: Sequence[Any]) -> Jobs:
    succeeded, failed, canceled, ran, waited = columns
    return Jobs(succeeded, failed, canceled, *_seconds(ran), *_seconds(waited))


def _seconds(percentiles: Sequence[int] | None) -> tuple[float | None, float | None]:
    if percentiles is None:
        return None, None
    p50, p95 = percentiles
    return p50 / 1000, p95 / 1000


def _stages(cursor: Any, scope: Scope, today: datetime) -> list[figures.Stage]:
    """Return the times of stages in the newest jobs that succeeded, of the longest range."""
    rows = of_days(cursor, STAGES_SQL, scope, first_day(today, max(RANGES)), today)
    slowest = max((p50 for _, p50, _, _ in rows), default=0)
    return [
        figures.Stage(name, p50, p95, count, 100 * p50 / slowest if slowest else 0) for name, p50, p95, count in rows
    ]


def _parameters(template: uuid.UUID | None) -> list[figures.Parameter]:
    found = []
    uses = ParameterUse.objects.filter(template=template).order_by("name", "-workspaces", "value")
    for name, group in groupby(uses, lambda use: use.name):
        listed = list(group)
        count = sum(use.workspaces for use in listed)
        values = [
            figures.Value(use.value, use.workspaces, 100 * use.workspaces / count)
            for use in listed
            if use.value is not None
        ]
        found.append(figures.Parameter(name, count, sum(use.values for use in listed), values))
    return found
