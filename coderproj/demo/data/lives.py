"""The lives of workspaces, day by day: when they are started, used, updated, stopped and deleted."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from coderproj.demo.data import words
from coderproj.demo.data.chance import SATURDAY, Chance
from coderproj.demo.data.jobs import Jobs, Run
from coderproj.demo.data.people import Person
from coderproj.demo.data.templates import Line
from provisioning.engine.base import Transition
from templates_app.models import TemplateVersion
from templates_app.workspaces.models import BuildReason, Workspace
from templates_app.workspaces.schedule import parse

WEEKEND = 0.05
# Shares of mornings and evenings.
UPDATES, RESTARTS, STOPS, STOPS_FAIL, CANCELS, RETRIES = 0.12, 0.06, 0.45, 0.004, 0.01, 0.75
REPORT_MINUTES = 35
# The agent of a workspace has connected by then.
CONNECTED = timedelta(minutes=2)
PAUSE = timedelta(seconds=5)


@dataclass(slots=True)
class Event:
    """A build. ``reports`` are the times of its agent's traffic."""

    transition: Transition
    reason: BuildReason
    version: TemplateVersion
    run: Run
    deadline: datetime | None = None
    reports: list[datetime] = field(default_factory=list)


@dataclass(slots=True)
class Life:
    """A workspace with its builds so far. It is deleted on the day of ``ends``, if that comes."""

    chance: Chance
    now: datetime
    jobs: Jobs
    workspace: Workspace
    line: Line
    owner: Person
    values: dict[str, str]
    ends: datetime | None = None
    events: list[Event] = field(default_factory=list)
    # The start that may have made something, and has not been stopped.
    up: Event | None = None
    is_over: bool = False
    # Whether a start waits for a daemon.
    is_queued: bool = False

    @property
    def cost(self) -> int:
        """What exists costs a day, as of the last build that succeeded."""
        last = next((event for event in reversed(self.events) if event.run.succeeded), None)
        return self.line.family.cost if last is not None and last.transition is Transition.START else 0

    def live(self) -> None:
        """Add all builds from the creation of the workspace until now."""
        created = self.workspace.created_at
        self._start(created)
        day = created.astimezone(self.owner.zone).date()
        last = self.now.astimezone(self.owner.zone).date()
        if self.up is not None:
            self._use(self.up.run.ended + CONNECTED, self.up.run.ended + self.chance.seconds(3 * 3600))
        while day < last and not self.is_over:
            day += timedelta(days=1)
            if self.ends is not None and day >= self.ends.date():
                self._delete(self.chance.clock(day, 9, 18, self.owner.zone))
                return
            morning = self.chance.clock(day, 7.8, 10.5, self.owner.zone)
            evening = self.chance.clock(day, 15.5, 19.5, self.owner.zone)
            works = self.chance.happens(self.owner.diligence if day.weekday() < SATURDAY else WEEKEND)
            if self.workspace.autostart_schedule:
                midnight = self.chance.clock(day, 0, 0, self.owner.zone)
                due = parse(self.workspace.autostart_schedule).next_after(midnight - timedelta(seconds=1))
                if due < midnight + timedelta(days=1):
                    self._settle(due)
                    if self.up is None or not self.up.run.succeeded:
                        self._start(due, BuildReason.AUTOSTART)
            if works and self.owner.is_active:
                self._work(morning, evening)
        self._settle(self.now)

    def _work(self, morning: datetime, evening: datetime) -> None:
        self._settle(morning)
        if self.up is None or not self.up.run.succeeded:
            self._start(morning)
            if not self._is_running() and self.chance.happens(RETRIES):
                self._start(morning + self.chance.seconds(600))
        if not self._is_running():
            return
        noon = morning + (evening - morning) * self.chance.random()
        self._use(morning, noon)
        is_outdated = self.events[-1].version != self.line.active_at(noon)
        if self.chance.happens(UPDATES if is_outdated else RESTARTS):
            self._settle(noon)
            self._start(noon, updates=is_outdated)
        self._use(noon, evening)
        if self.chance.happens(STOPS):
            self._settle(evening)
            if self._is_running():
                self._stop(evening)

    def _is_running(self) -> bool:
        return self.up is not None and self.up.run.succeeded and not self.is_over

    def _use(self, since: datetime, until: datetime) -> None:
        """Report traffic in a part of a day. It puts off the automatic stop."""
        if not self._is_running() or self.up is None:
            return
        moment = max(since, self.up.run.ended + CONNECTED)
        while True:
            moment += self.chance.seconds(REPORT_MINUTES * 60, 0.6)
            if moment >= min(until, self.now) or (self.up.deadline is not None and moment >= self.up.deadline):
                return
            self.up.reports.append(moment)
            if self.workspace.ttl_ms:
                self.up.deadline = moment + timedelta(milliseconds=self.workspace.ttl_ms)

    def _settle(self, until: datetime) -> None:
        """Stop the workspace if its deadline has come."""
        if self.up is not None and self.up.deadline is not None and self.up.deadline <= until:
            self._stop(self.up.deadline + self.chance.seconds(2), BuildReason.AUTOSTOP)

    def _start(self, moment: datetime, reason: BuildReason = BuildReason.INITIATOR, *, updates: bool = False) -> None:
        is_new = updates or not self.events
        version = self.line.active_at(moment) if is_new else self.events[-1].version
        fails, canceled = self.chance.happens(self.line.sort.failing), self.chance.happens(CANCELS)
        error = self.chance.choice(words.BUILD_ERRORS[self.line.family.name]) if fails else ""
        ran = self.chance.seconds(self.line.family.start)
        event = self._add(Transition.START, moment, reason, version, ran, error, canceled=canceled and not fails)
        if event is not None:
            self.up = event
            if self.workspace.ttl_ms:
                event.deadline = event.run.ended + timedelta(milliseconds=self.workspace.ttl_ms)

    def _stop(self, moment: datetime, reason: BuildReason = BuildReason.INITIATOR) -> None:
        version = self.events[-1].version
        if reason is BuildReason.INITIATOR and self.chance.happens(STOPS_FAIL):
            error = self.chance.choice(words.BUILD_ERRORS[self.line.family.name])
            failed = self._add(Transition.STOP, moment, reason, version, self._stop_time(), error)
            if failed is None:
                return
            moment = failed.run.ended + self.chance.seconds(120)
        if self._add(Transition.STOP, moment, reason, version, self._stop_time()) is not None:
            self.up = None

    def _delete(self, moment: datetime) -> None:
        self._settle(moment)
        self._add(Transition.DELETE, moment, BuildReason.INITIATOR, self.events[-1].version, self._stop_time())
        self.workspace.deleted = not self.is_over
        self.up = None if self.workspace.deleted else self.up
        self.is_over = True

    def _stop_time(self) -> timedelta:
        return self.chance.seconds(self.line.family.stop)

    def _add(
        self,
        transition: Transition,
        moment: datetime,
        reason: BuildReason,
        version: TemplateVersion,
        ran: timedelta,
        error: str = "",
        *,
        canceled: bool = False,
    ) -> Event | None:
        """Add a build after the one before. Return None if it has not ended by now: the life is then over."""
        if self.is_over:
            return None
        queued = max(moment, self.events[-1].run.ended + PAUSE) if self.events else moment
        run = self.jobs.run(queued, ran, error, canceled=canceled)
        if run.ended >= self.now:
            self.is_over = True
            return None
        event = Event(transition, reason, version, run)
        self.events.append(event)
        return event
