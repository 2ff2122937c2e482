"""When a workspace starts and stops by itself: the page, its form, and extending the time of a running workspace."""

import zoneinfo
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.base.errors import DomainError, Invalid
from coderproj.console.forms import LiveForm
from coderproj.database.clock import database_time
from templates_app.workspaces.models import Workspace
from templates_app.workspaces.pages.base import ChangeSection
from templates_app.workspaces.pages.schedule_text import (
    DAYS,
    HOUR_MS,
    WEEKDAYS,
    Weekly,
    next_starts,
    weekly_of,
)
from templates_app.workspaces.schedule import MAX_CHARACTERS, checked_schedule
from templates_app.workspaces.services import workspaces

NEVER, WEEKLY, CRON = "never", "weekly", "cron"
MODES = [(NEVER, "Only by hand"), (WEEKLY, "On weekdays, at a time"), (CRON, "By a cron expression")]
FIRST_TIME = "09:00"
MAX_HOURS = workspaces.MAX_TTL_MS // HOUR_MS


@cache
def zones() -> list[tuple[str, str]]:
    """Return the time zones of regions, and UTC, as choices."""
    regions = (
        name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith(("Etc/", "posix"))
    )
    return [("UTC", "UTC"), *((name, name.replace("_", " ")) for name in sorted(regions))]


class ScheduleForm(LiveForm):
    """Automatic start and automatic stop. ``schedule`` and ``ttl_ms`` of the cleaned data are what services take.

    ``shown_ttl_ms`` is the time until the stop that the page showed, in hours with two decimals: if these come back, it
    stays to the millisecond.
    """

    mode = forms.ChoiceField(label="Start", choices=MODES, widget=forms.RadioSelect, initial=NEVER)
    days = forms.TypedMultipleChoiceField(
        label="Days",
        choices=[(number, name) for number, name in DAYS.items()],
        coerce=int,
        widget=forms.CheckboxSelectMultiple,
        required=False,
        initial=WEEKDAYS,
    )
    time = forms.TimeField(
        label="Time", required=False, initial=FIRST_TIME, widget=forms.TimeInput({"type": "time"}, format="%H:%M")
    )
    zone = forms.ChoiceField(label="Time zone", choices=zones, required=False, initial="UTC")
    cron = forms.CharField(
        label="Cron expression",
        max_length=MAX_CHARACTERS,
        required=False,
        help_text="CRON_TZ=Zone minute hour * * weekdays, such as CRON_TZ=Europe/Berlin 30 8,13 * * 1-5.",
        widget=forms.TextInput({"spellcheck": "false", "autocomplete": "off"}),
    )
    hours = forms.DecimalField(
        label="Stop after hours",
        required=False,
        max_digits=6,
        decimal_places=2,
        help_text=f"Hours from a start to the automatic stop, at most {MAX_HOURS}. Empty for never.",
        widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, shown_ttl_ms: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shown_ttl_ms = shown_ttl_ms

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if "mode" in given:
            given["schedule"] = self._schedule(given)
        hours = given.get("hours")
        given["ttl_ms"] = self._checked("hours", lambda: self._ttl_ms(hours)) if hours is not None else None
        return given

    def _ttl_ms(self, hours: Decimal) -> int:
        if self._shown_ttl_ms and hours == _hours(self._shown_ttl_ms):
            return self._shown_ttl_ms
        return workspaces.checked_ttl(int(hours * HOUR_MS))

    def _schedule(self, given: dict[str, Any]) -> str:
        if given["mode"] == WEEKLY:
            if not given.get("days"):
                self.add_error("days", "Choose at least one day.")
            if not given.get("time") and "time" not in self.errors:
                self.add_error("time", "Enter a time.")
            if {"days", "time", "zone"} & set(self.errors):
                return ""
            days = tuple(day for day in DAYS if day in given["days"])
            text = Weekly(days, f"{given['time']:%H:%M}", given["zone"] or "UTC").text
            return str(self._checked("time", lambda: checked_schedule(text)) or "")
        if given["mode"] == CRON and "cron" not in self.errors:
            if not given.get("cron"):
                self.add_error("cron", "Enter a schedule.")
                return ""
            return str(self._checked("cron", lambda: checked_schedule(given["cron"])) or "")
        return ""

    def _checked(self, field: str, check: Any) -> Any:
        """Return what a check returns; its error becomes that of a field."""
        try:
            return check()
        except Invalid as error:
            self.add_error(field, " ".join(problem.detail for problem in error.problems))
            return None

    @property
    def starts(self) -> list[datetime]:
        """The next starts by the values of the form; none without automatic starts."""
        if self.is_bound:
            text = (self.cleaned_data if self.is_valid() or hasattr(self, "cleaned_data") else {}).get("schedule")
        else:
            text = self.initial.get("schedule")
        return next_starts(text) if text else []


def _hours(ttl_ms: int) -> Decimal:
    return (Decimal(ttl_ms) / HOUR_MS).quantize(Decimal("0.01"))


def initial_of(schedule: str, ttl_ms: int | None) -> dict[str, Any]:
    """Return the initial values of the form."""
    found: dict[str, Any] = {"hours": f"{_hours(ttl_ms).normalize():f}" if ttl_ms else ""}
    weekly = weekly_of(schedule) if schedule else None
    if weekly is not None and weekly.zone in dict(zones()):
        found |= {"mode": WEEKLY, "days": list(weekly.days), "time": weekly.time, "zone": weekly.zone}
    elif schedule:
        found |= {"mode": CRON, "cron": schedule}
    return found | {"schedule": schedule}


class SchedulePage(ChangeSection):
    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        workspace = self.workspace
        return self.form_page(ScheduleForm(initial=initial_of(workspace.autostart_schedule, workspace.ttl_ms)))

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        form = ScheduleForm(request.POST, shown_ttl_ms=self.workspace.ttl_ms)
        if not form.is_valid():
            return self.form_page(form, 400)
        try:
            save(self, self.workspace, form)
        except DomainError as error:
            form.show_error(error)
            return self.form_page(form, error.status_code)
        return self.go(self.address, "The schedule is saved.")

    def form_page(self, form: ScheduleForm, status: int = 200) -> HttpResponseBase:
        running = self.latest is not None and self.latest.deadline is not None and self.status == "running"
        context = self.frame("Schedule") | {"form": form, "is_running": running}
        return self.show("workspaces/schedule.html", context, status=status)


class CheckSchedule(ChangeSection):
    """Returns the errors of the fields and the next starts, while the form is filled in."""

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        context = {"form": ScheduleForm(request.POST, shown_ttl_ms=self.workspace.ttl_ms), "is_update": True}
        return self.show("workspaces/_schedule_check.html", context)


def save(page: SchedulePage, workspace: Workspace, form: ScheduleForm) -> None:
    """Store what differs. Raises DomainError."""
    schedule, ttl_ms = form.cleaned_data["schedule"], form.cleaned_data["ttl_ms"]
    times: workspaces.Times = {}
    if schedule != workspace.autostart_schedule:
        times["schedule"] = schedule
    if ttl_ms != workspace.ttl_ms:
        times["ttl_ms"] = ttl_ms
    if times:
        workspaces.set_times(page.actor, workspace, times)


class ExtendWorkspace(ChangeSection):
    """Moves the automatic stop of a running workspace by a number of hours."""

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        return self.go(self.address)

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        text = request.POST.get("hours", "")
        hours = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
        if not hours:
            self.warn("Enter a whole number of hours, from 1 on.")
            return self.go(self.address)
        now = database_time()
        current = self.latest.deadline if self.latest is not None else None
        try:
            deadline = workspaces.extend(self.actor, self.workspace, max(current or now, now) + timedelta(hours=hours))
        except DomainError as error:
            if error.status_code == 403:
                raise
            self.warn(error.message)
            return self.go(self.address)
        return self.go(self.address, f"The workspace stops at {deadline:%Y-%m-%d %H:%M} UTC.")
