"""Schedules in words and as the fields of a form."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from templates_app.workspaces.models import Workspace
from templates_app.workspaces.schedule import ZONE, BadSchedule, parse

# By the numbers of cron, Monday first.
DAYS = {1: "Monday", 2: "Tuesday", 3: "Wednesday", 4: "Thursday", 5: "Friday", 6: "Saturday", 0: "Sunday"}
ORDER = list(DAYS)
NAMES = {name[:3].upper(): number for number, name in DAYS.items()}
WEEKDAYS, WEEKEND = (1, 2, 3, 4, 5), (6, 0)
HOUR_MS = 3_600_000
STARTS_SHOWN = 3
_DAY = re.compile(r"(?P<first>\w+)(?:-(?P<last>\w+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Weekly:
    """A schedule that starts at one time on some weekdays: days by the numbers of cron, and ``HH:MM`` in a zone."""

    days: tuple[int, ...]
    time: str
    zone: str

    @property
    def text(self) -> str:
        """The schedule as cron text."""
        hour, _, minute = self.time.partition(":")
        days = "*" if len(self.days) == len(DAYS) else ",".join(str(day) for day in sorted(self.days))
        return f"{ZONE}{self.zone} {int(minute)} {int(hour)} * * {'1-5' if days == '1,2,3,4,5' else days}"

    @property
    def words(self) -> str:
        """Such as ``Monday to Friday at 09:30``."""
        return f"{_days_in_words(self.days)} at {self.time}"


@dataclass(frozen=True, slots=True)
class Times:
    """The schedule of a workspace for its page. ``words`` is empty without automatic starts, ``starts`` are the next
    ones, none while the template forbids them; ``hours`` is the time until the automatic stop, None without one.
    ``is_forbidden`` and ``is_fixed``: the template does not allow the starts, or decides the stop."""

    words: str
    zone: str
    starts: Sequence[datetime]
    hours: float | None
    is_forbidden: bool = False
    is_fixed: bool = False


def times_of(workspace: Workspace) -> Times:
    """Return when a workspace, loaded with its template, starts and stops by itself. No query."""
    template, lifetime_ms = workspace.template, workspace.lifetime_ms
    hours = lifetime_ms / HOUR_MS if lifetime_ms else None
    text, is_fixed = workspace.autostart_schedule, not template.allow_user_autostop
    if not text:
        return Times("", "", (), hours, is_fixed=is_fixed)
    weekly = weekly_of(text)
    words = weekly.words if weekly is not None else without_zone(text)
    is_forbidden = not template.allow_user_autostart
    starts = () if is_forbidden else next_starts(text)
    return Times(words, zone_of(text), starts, hours, is_forbidden, is_fixed)


def next_starts(text: str, after: datetime | None = None) -> list[datetime]:
    """Return the next times of a schedule in its time zone; none if it is invalid."""
    try:
        schedule = parse(text)
    except BadSchedule:
        return []
    moment = after or datetime.now(UTC)
    found = []
    for _ in range(STARTS_SHOWN):
        moment = schedule.next_after(moment)
        found.append(moment.astimezone(schedule.zone))
    return found


def zone_of(text: str) -> str:
    """Return the time zone of a schedule."""
    return (text.removeprefix(ZONE).partition(" ")[0] if text.startswith(ZONE) else "") or "UTC"


def without_zone(text: str) -> str:
    """Return a schedule without its time zone."""
    return text.partition(" ")[2].strip() if text.startswith(ZONE) else text.strip()


def weekly_of(text: str) -> Weekly | None:
    """Return a schedule as weekdays and a time; None if it has several times or steps."""
    fields = without_zone(text).split()
    if len(fields) != 5:
        return None
    minute, hour, _, _, weekdays = fields
    days = _days(weekdays)
    if not (minute.isascii() and minute.isdigit() and hour.isascii() and hour.isdigit() and days):
        return None
    return Weekly(days, f"{int(hour):02d}:{int(minute):02d}", zone_of(text))


def _days(text: str) -> tuple[int, ...]:
    """Return the days of a weekday field, Monday first; none if it has steps."""
    if text in {"*", "?"}:
        return tuple(ORDER)
    found: set[int] = set()
    for part in text.upper().split(","):
        match = _DAY.fullmatch(part)
        if match is None:
            return ()
        first, last = _day(match["first"]), _day(match["last"] or match["first"])
        if first is None or last is None or first > last:
            return ()
        found.update(range(first, last + 1))
    return tuple(day for day in ORDER if day in found)


def _day(text: str) -> int | None:
    if text in NAMES:
        return NAMES[text]
    return int(text) if text in {"0", "1", "2", "3", "4", "5", "6"} else None


def _days_in_words(days: tuple[int, ...]) -> str:
    if len(days) == len(DAYS):
        return "Every day"
    if set(days) == set(WEEKDAYS):
        return "Monday to Friday"
    if set(days) == set(WEEKEND):
        return "Saturday and Sunday"
    names = [DAYS[day] for day in ORDER if day in days]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
