"""The workspaces of the data: their lives as rows of builds, agents, traffic and days."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from coderproj.demo.data import words
from coderproj.demo.data.catalogue import STARTUP_SCRIPT, Option
from coderproj.demo.data.chance import Chance
from coderproj.demo.data.jobs import TAGS, Jobs
from coderproj.demo.data.lives import Event, Life
from coderproj.demo.data.people import People, Person
from coderproj.demo.data.templates import HOUR_MS, Line
from provisioning.engine.base import Stage, Transition
from provisioning.models import AppHealth, ProvisionerJob, WorkspaceAgent, WorkspaceApp, WorkspaceResource
from provisioning.models.resources import AgentLifecycle, WorkspaceResourceMetadata, hash_of_token
from templates_app.models import AgentTime, DailyUser
from templates_app.statistics.progress import midnight
from templates_app.workspaces.job_kinds import BUILD_TYPE
from templates_app.workspaces.models import Workspace, WorkspaceBuild

# Workers delete reports that are older.
REPORTS_KEPT = timedelta(days=30)
# No process holds these connections, so none withdraws them.
SHOWN_AS_CONNECTED = timedelta(days=7)
AT_FIRST, DELETED, SCHEDULED, NEVER_STOP = 0.55, 0.22, 0.07, 0.08
NEVER_CONNECTS, SCRIPT_FAILS, UNHEALTHY = 0.015, 0.03, 0.05
PENDING = 3
# The most rows by far are kept as values: instances of models take several times as long.
PARAMETER_COLUMNS = ("build_id", "name", "value")
REPORT_COLUMNS = (
    *("created_at", "agent_id", "workspace_id", "template_id", "user_id", "connections_by_protocol"),
    *("connections", "rx_packets", "rx_bytes", "tx_packets", "tx_bytes"),
)
SIZES_MB = (2048, 4096, 4096, 8192, 8192, 16384)
APPLYING = {
    Transition.START: (
        Stage.STARTING.value,
        "Creation complete",
        "Apply complete! Resources: 2 added, 0 changed, 0 destroyed.",
    ),
    Transition.STOP: (
        Stage.STOPPING.value,
        "Destruction complete",
        "Apply complete! Resources: 0 added, 0 changed, 1 destroyed.",
    ),
    Transition.DELETE: (Stage.DESTROYING.value, "Destruction complete", "Destroy complete! Resources: 2 destroyed."),
}


@dataclass(slots=True)
class Workspaces:
    """Makes workspaces that live in the last days. The lists are rows to be stored, besides those of ``jobs``."""

    chance: Chance
    now: datetime
    people: People
    lines: list[Line]
    jobs: Jobs
    lives: list[Life] = field(default_factory=list)
    builds: list[WorkspaceBuild] = field(default_factory=list)
    parameters: list[tuple[uuid.UUID, str, str]] = field(default_factory=list)
    resources: list[WorkspaceResource] = field(default_factory=list)
    metadata: list[WorkspaceResourceMetadata] = field(default_factory=list)
    agents: list[WorkspaceAgent] = field(default_factory=list)
    apps: list[WorkspaceApp] = field(default_factory=list)
    times: list[AgentTime] = field(default_factory=list)
    reports: list[tuple[Any, ...]] = field(default_factory=list)
    active_days: set[tuple[uuid.UUID, datetime, uuid.UUID]] = field(default_factory=set)

    def make(self, count: int, days: int) -> None:
        """Make this number of workspaces, which were created in the last days."""
        taken: set[tuple[uuid.UUID, str]] = set()
        first = self.now - timedelta(days=days)
        while len(self.lives) < count:
            owner = self.chance.choice(self.people.persons)
            usable = [line for line in self.lines if line.groups & owner.groups]
            line = self.chance.weighted(usable, [line.sort.weight for line in usable])
            life = self._life(owner, line, first)
            if life is None or (owner.user.pk, life.workspace.name) in taken:
                continue
            taken.add((owner.user.pk, life.workspace.name))
            life.live()
            if life.events:
                self.lives.append(life)
                self._store(life)
        stopped = [life for life in self.lives if life.up is None and not life.is_over and life.owner.is_active]
        for life in self.chance.sample(stopped, min(PENDING, len(stopped))):
            self._queue(life)

    def _life(self, owner: Person, line: Line, first: datetime) -> Life | None:
        """Return a new workspace, None if its owner or template came too late."""
        chance = self.chance
        begun = max(first, owner.user.created_at, line.promoted[0])
        until = min(begun + timedelta(days=6), self.now) if chance.happens(AT_FIRST) else self.now
        created = chance.at_work(begun, until - timedelta(minutes=20))
        if not begun < created < self.now:
            return None
        workspace = Workspace(
            id=chance.id(),
            name=_name(chance),
            owner=owner.user,
            organization_id=line.template.organization_id,
            template=line.template,
            ttl_ms=None if chance.happens(NEVER_STOP) else line.template.default_ttl_ms or None,
        )
        workspace.created_at = workspace.updated_at = created
        if owner.is_active and chance.happens(SCHEDULED):
            minute, hour = chance.choice((0, 15, 30, 45)), chance.choice((7, 8, 9))
            workspace.autostart_schedule = f"CRON_TZ={owner.zone.key} {minute} {hour} * * 1-5"
            workspace.schedule_set_at = created
            if workspace.ttl_ms is None:
                workspace.ttl_ms = 10 * HOUR_MS
        values = {option.name: _value(chance, option) for option in line.family.parameters}
        ends = created + (self.now - created) * chance.random() if chance.happens(DELETED) else None
        return Life(chance, self.now, self.jobs, workspace, line, owner, values, ends)

    # ------------------------------------------------------------------ rows
    def _store(self, life: Life) -> None:
        workspace = life.workspace
        last_use = life.events[0].run.queued
        for number, event in enumerate(life.events, 1):
            build = self._build(life, event, number)
            self._resources(life, event, build, life.events[number] if number < len(life.events) else None)
            last_use = max([last_use, *event.reports])
            workspace.latest_build = build
            if event.reason == "autostart":
                workspace.last_due_at = event.run.queued
        workspace.last_used_at = last_use
        workspace.updated_at = life.events[-1].run.ended
        workspace.daily_cost = life.cost

    def _build(self, life: Life, event: Event, number: int) -> WorkspaceBuild:
        build_id = self.chance.id()
        stage, done, last = APPLYING[event.transition]
        machine = f"{life.line.family.machine}.workspace"
        stages = (
            (Stage.SETTING_UP.value, 0.0, ()),
            (Stage.PLANNING.value, 0.05, ("Terraform plan",)),
            (stage, 0.3, (f"{machine}: {done}", last)),
            (Stage.CLEANING_UP.value, 0.98, ()),
        )
        owner = life.owner.user
        job_input = {
            "workspace_build_id": str(build_id),
            "template_version_id": str(event.version.pk),
            "template_id": str(life.line.template.pk),
        }
        job = self.jobs.add(event.run, BUILD_TYPE, owner.pk, job_input, stages, file_id=event.version.job.file_id)
        return self._add(life, event.transition, number, job, build_id, event)

    def _add(
        self,
        life: Life,
        transition: Transition,
        number: int,
        job: ProvisionerJob,
        build_id: uuid.UUID,
        event: Event | None,
    ) -> WorkspaceBuild:
        succeeded = event is not None and event.run.succeeded
        build = WorkspaceBuild(
            id=build_id,
            workspace=life.workspace,
            build_number=number,
            template_version=event.version if event else life.events[-1].version,
            transition=transition.value,
            reason=event.reason if event else life.events[0].reason,
            initiator=life.owner.user,
            job=job,
            deadline=event.deadline if event else None,
            daily_cost=life.line.family.cost if succeeded and transition is Transition.START else 0,
        )
        build.created_at = job.created_at
        build.updated_at = job.completed_at or job.created_at
        self.builds.append(build)
        self.parameters += ((build_id, name, value) for name, value in life.values.items())
        return build

    def _queue(self, life: Life) -> None:
        """Add a start that waits for a daemon: none has its tags."""
        life.is_queued = True
        build_id, version = self.chance.id(), life.events[-1].version
        job = ProvisionerJob(
            id=self.chance.id(),
            organization_id=life.workspace.organization_id,
            initiator=life.owner.user,
            type=BUILD_TYPE,
            file_id=version.job.file_id,
            tags=TAGS,
            input={
                "workspace_build_id": str(build_id),
                "template_version_id": str(version.pk),
                "template_id": str(life.line.template.pk),
            },
        )
        job.created_at = max(self.now - self.chance.seconds(240), life.events[-1].run.ended)
        self.jobs.rows.append(job)
        build = self._add(life, Transition.START, len(life.events) + 1, job, build_id, None)
        life.workspace.latest_build, life.workspace.updated_at = build, job.created_at

    def _resources(self, life: Life, event: Event, build: WorkspaceBuild, later: Event | None) -> None:
        """Add what a build left: a volume, and a machine with its agent."""
        if not event.run.succeeded or event.transition is Transition.DELETE:
            return
        family = life.line.family
        found = [(family.volume, "home", 0)]
        if event.transition is Transition.START:
            found.append((family.machine, "workspace", family.cost))
        for position, (resource_type, name, cost) in enumerate(found):
            resource = WorkspaceResource(
                id=self.chance.id(),
                job_id=build.job_id,
                workspace_transition=event.transition.value,
                type=resource_type,
                name=name,
                daily_cost=cost,
                position=position,
            )
            resource.created_at = event.run.ended
            self.resources.append(resource)
        if event.transition is Transition.START:
            shown = next(iter(life.values.items()))
            self.metadata.append(WorkspaceResourceMetadata(resource_id=resource.pk, key=shown[0], value=shown[1]))
            self._agent(life, event, resource, later)

    def _agent(self, life: Life, event: Event, resource: WorkspaceResource, later: Event | None) -> None:
        chance, ended = self.chance, event.run.ended
        until = later.run.started if later is not None else self.now
        agent = WorkspaceAgent(
            id=chance.id(),
            resource_id=resource.pk,
            name="main",
            hashed_token=hash_of_token(chance.id()),
            architecture="amd64",
            operating_system="linux",
            startup_script=STARTUP_SCRIPT,
            directory="/home/coder",
            connection_timeout_seconds=120,
        )
        agent.created_at = ended
        self.agents.append(agent)
        connected = ended + min(chance.seconds(7, 0.5), timedelta(seconds=100))
        is_connected = connected < until and (bool(event.reports) or not chance.happens(NEVER_CONNECTS))
        if is_connected:
            self._connect(life, event, agent, connected, until, later is not None)
        for slug, title, icon in (("editor", "Editor", "code"), ("terminal", "Terminal", "terminal")):
            app = WorkspaceApp(
                id=chance.id(),
                agent_id=agent.pk,
                slug=slug,
                display_name=title,
                icon=f"/icon/{icon}.svg",
                url="http://localhost:13337/?folder=/home/coder" if slug == "editor" else "",
                command="" if slug == "editor" else "bash",
            )
            app.created_at = ended
            if slug == "editor":
                app.healthcheck_url, app.healthcheck_interval = "http://localhost:13337/healthz", 5
                app.healthcheck_threshold = 6
                app.health = AppHealth.INITIALIZING
                if is_connected:
                    app.health = AppHealth.UNHEALTHY if chance.happens(UNHEALTHY) else AppHealth.HEALTHY
            self.apps.append(app)

    def _connect(
        self, life: Life, event: Event, agent: WorkspaceAgent, connected: datetime, until: datetime, has_ended: bool
    ) -> None:
        """Let the agent connect, report traffic, and disconnect when its build has been replaced."""
        chance = self.chance
        agent.first_connected_at, agent.version = connected, chance.choice(words.AGENT_VERSIONS)
        agent.lifecycle_state = AgentLifecycle.STARTING
        ready = connected + chance.seconds(life.line.family.start / 3, 0.6)
        if ready < until:
            if chance.happens(SCRIPT_FAILS):
                agent.lifecycle_state = AgentLifecycle.START_ERROR
            else:
                agent.lifecycle_state = AgentLifecycle.READY
                self.times.append(
                    AgentTime(
                        agent_id=agent.pk,
                        template_id=life.line.template.pk,
                        organization_id=life.workspace.organization_id,
                        ready_at=ready,
                        ready_ms=int((ready - event.run.ended) / timedelta(milliseconds=1)),
                    )
                )
        agent.last_connected_at = connected + (until - connected) * 0.999
        if has_ended:
            agent.disconnected_at = until
            agent.lifecycle_state = AgentLifecycle.OFF
        else:
            agent.alive_until = self.now + SHOWN_AS_CONNECTED
        agent.updated_at = until
        if settings.STATISTICS_PER_USER:
            self._traffic(life, event, agent)

    def _traffic(self, life: Life, event: Event, agent: WorkspaceAgent) -> None:
        """Add the reports that workers have not deleted, and the days of all."""
        chance, owner, template = self.chance, life.owner.user, life.line.template
        for moment in event.reports:
            self.active_days.add((template.pk, midnight(moment), owner.pk))
            if moment < self.now - REPORTS_KEPT:
                continue
            received, sent = int(chance.around(400_000, 1.2)), int(chance.around(6_000_000, 1.4))
            connections = chance.choice((1, 1, 2, 3))
            # In the order of REPORT_COLUMNS.
            self.reports.append(
                (
                    *(moment, agent.pk, life.workspace.pk, template.pk, owner.pk, json.dumps({"TCP": connections})),
                    *(connections, received // 900 + 1, received, sent // 1200 + 1, sent),
                )
            )

    def daily_users(self) -> Iterator[DailyUser]:
        for template, day, user in sorted(self.active_days):
            yield DailyUser(template_id=template, day=day, user_id=user)


def _name(chance: Chance) -> str:
    name = chance.choice(words.PROJECTS)
    return f"{name}-{chance.randrange(2, 10)}" if chance.happens(0.3) else name


def _value(chance: Chance, option: Option) -> str:
    if option.options:
        return chance.weighted([text for text, _ in option.options], [weight for _, weight in option.options])
    if option.range:
        return str(chance.choice(SIZES_MB))
    return "true" if chance.happens(0.35) else "false"
