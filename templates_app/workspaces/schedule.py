"""Schedules of automatic starts: the cron texts of the contract (schedule, grammar), and their next times.

The module has its own parser and calendar. The library croniter reads the minute ``5-5`` as every minute, adds Sunday
to the weekdays ``1/2``, accepts ``FRI-MON``, and moves a time that a change of the clock skips. The contract differs.
"""

import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from coderproj.base.errors import Invalid

FIELD = "schedule"
ZONE = "CRON_TZ="
MAX_CHARACTERS = 256
MIN_DISTANCE = timedelta(hours=1)
MINUTES_OF_WEEK = 7 * 24 * 60
# A weekly time that a change of the clock skips happens a week later; some zones once skipped a whole day.
_SEARCHED_DAYS = 22
# Names that depend on the machine, and copies of other zones with different rules for leap seconds.
_REFUSED_ZONES = re.compile(r"local|localtime|posixrules|factory|(posix|right)/.*", re.IGNORECASE)
_ELEMENT = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?", re.ASCII)
_WEEKDAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}


class BadSchedule(ValueError):
    """The text is not a schedule; the message says why."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times of the day, on weekdays (0 is Sunday), in a time zone. Times and weekdays are in ascending order."""

    times: tuple[time, ...]
    weekdays: tuple[int, ...]
    zone: zoneinfo.ZoneInfo

    def next_after(self, moment: datetime) -> datetime:
        """Return the first time after a moment, in UTC.

        A time that a change of the clock skips does not happen that day; a time that it repeats happens once.
        """
        first_day = moment.astimezone(self.zone).date()
        for number in range(_SEARCHED_DAYS):
            for found in self._times_on(first_day + timedelta(days=number)):
                if found > moment:
                    return found
        raise AssertionError(f"no time within {_SEARCHED_DAYS} days")  # every time exists on most days

    def _times_on(self, day: date) -> Iterator[datetime]:
        """Yield the times of a day that exist, in UTC. The first one of two that have the same name."""
        if day.isoweekday() % 7 not in self.weekdays:
            return
        for local in self.times:
            wanted = datetime.combine(day, local, self.zone)
            found = wanted.astimezone(UTC)
            if found.astimezone(self.zone).replace(tzinfo=None) == wanted.replace(tzinfo=None):
                yield found

    @property
    def min_distance(self) -> timedelta:
        """The smallest time between two starts by the clock on the wall, from one week to the next."""
        times = [
            day * 24 * 60 + local.hour * 60 + local.minute for day in self.weekdays for local in self.times
        ]  # at most MINUTES_OF_WEEK
        following = [*times[1:], times[0] + MINUTES_OF_WEEK]
        return timedelta(minutes=min(after - before for before, after in zip(times, following, strict=True)))


def parse(text: str) -> Schedule:
    """Parse a schedule: ``[CRON_TZ=Zone] minute hour * * weekday``. Raises BadSchedule."""
    if len(text) > MAX_CHARACTERS:
        raise BadSchedule(f"it is longer than {MAX_CHARACTERS} characters")
    zone, rest = "", text
    if text.startswith(ZONE):
        zone, _, rest = text.removeprefix(ZONE).partition(" ")
    fields = rest.split()
    if len(fields) != 5:
        raise BadSchedule(f"it has {len(fields)} fields: give minute, hour, *, * and weekday")
    minute, hour, day, month, weekday = fields
    if (day, month) != ("*", "*"):
        raise BadSchedule("day of month and month must be *")
    minutes, hours = _numbers("minute", minute, 59), _numbers("hour", hour, 23)
    weekdays = _numbers("weekday", weekday.replace("?", "*"), 6, names=_WEEKDAYS)
    return Schedule(tuple(time(h, m) for h in hours for m in minutes), tuple(weekdays), _zone(zone))


def _numbers(name: str, text: str, highest: int, *, names: dict[str, int] | None = None) -> list[int]:
    """Return the numbers from 0 to ``highest`` that a list of numbers, ranges and steps names. Raises BadSchedule."""
    found: set[int] = set()
    for element in text.split(","):
        match = _ELEMENT.fullmatch(element)
        if match is None:
            raise BadSchedule(f"the {name} {element!r} is not a number, range or step")
        star, start, end, step = match.groups()
        low = 0 if star else _number(name, start, highest, names)
        high = _number(name, end, highest, names) if end else highest if star or step else low
        if low > high:
            raise BadSchedule(f"the {name} range {element!r} ends before it begins")
        if step and not step.strip("0"):
            raise BadSchedule(f"the step of the {name} {element!r} is zero")
        found.update(range(low, high + 1, int(step or 1)))
    return sorted(found)


def _number(name: str, text: str, highest: int, names: dict[str, int] | None) -> int:
    if names and text.upper() in names:
        return names[text.upper()]
    if not text.isdecimal() or int(text) > highest:
        words = f", or {', '.join(names)}" if names else ""
        raise BadSchedule(f"the {name} {text!r} is not a number from 0 to {highest}{words}")
    return int(text)


def _zone(name: str) -> zoneinfo.ZoneInfo:
    if _REFUSED_ZONES.fullmatch(name):
        raise BadSchedule(f"the time zone {name} is not allowed")
    try:
        return zoneinfo.ZoneInfo(name or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise BadSchedule(f"the time zone {name!r} is unknown") from None


def checked_schedule(text: str) -> str:
    """Return a schedule as it was written; empty for none. Raises Invalid on ``schedule``."""
    if not text:
        return ""
    try:
        schedule = parse(text)
    except BadSchedule as error:
        raise Invalid.field(FIELD, f"The schedule is invalid: {error}.") from None
    if schedule.min_distance < MIN_DISTANCE:
        raise Invalid.field(FIELD, "The workspace would start more often than once an hour.")
    return text
