"""Days that need no new calculation: the insights that are stored have their jobs already.

A day's percentiles do not change once its jobs are counted. So a refresh calculates the days since the first one that
has new rows, and copies the others. Everything else in insights is about a range, and is calculated each time.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import msgspec
from django.conf import settings

from templates_app.models import Insights
from templates_app.statistics import figures
from templates_app.statistics.figures import RANGES, Jobs
from templates_app.statistics.progress import first_day


def known_days(keys: Mapping[str, Any], changed_from: datetime | None, today: datetime) -> dict[date, Jobs]:
    """Return the jobs of days that are still right, from the stored insights of a scope with these ``keys``.

    Without the last day of those insights, which had not ended; without the days since ``changed_from``; and without
    those whose rows workers delete (STATISTICS_DAYS). Empty if there are no insights, or those of another version.
    """
    stored = Insights.objects.filter(days=max(RANGES), **keys).values_list("figures", flat=True).first()
    if stored is None:
        return {}
    try:
        days = figures.read(stored).days
    except msgspec.ValidationError:
        return {}
    first = first_day(today, min(max(RANGES), settings.STATISTICS_DAYS)).date()
    end = min(days[-1].day, today.date(), changed_from.date() if changed_from else date.max)
    return {day.day: day.jobs for day in days if first <= day.day < end}


def first_unknown(known: Mapping[date, Jobs], today: datetime) -> datetime:
    """Return the first day to calculate. The known days have no gap; before them is nothing, or nothing any more."""
    if not known:
        return first_day(today, max(RANGES))
    return first_day(today, (today.date() - max(known)).days)
