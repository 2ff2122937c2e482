"""The agents of a running workspace on its page: their connection, their apps, and how to connect."""

import re
import shlex
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Count, F, Prefetch, QuerySet

from coderproj.base.contributions import contributions
from coderproj.database.clock import database_time
from coderproj.identity.actor import Actor
from coderproj.identity.rbac import Action, Resource, allowed
from provisioning.models import AgentStatus, WorkspaceAgent, WorkspaceApp, agent_status, gone_at
from templates_app.workspaces.models import Workspace, WorkspaceBuild

# A page shows as many agents, and as many apps of each. The API has all of them.
AGENTS_SHOWN = 40
APPS_SHOWN = 40
# A page is not updated for a time limit that is farther away.
LONGEST_WAIT = 24 * 3600
# Links that the browser or an editor opens. Others could run code in the page or start any program of the computer.
WEB_SCHEMES = frozenset({"http", "https"})
EDITOR_SCHEMES = frozenset({"vscode", "vscode-insiders", "vscodium", "jetbrains", "jetbrains-gateway", "zed"})
DEFAULT_PORTS = {"http": 80, "https": 443}
# The version of our own agent: the generation of the API, then a version. Others have a commit there.
_OWN_VERSION = re.compile(r"\d+\.\d")


@dataclass(frozen=True, slots=True)
class Traffic:
    """The latest report of an agent that had traffic. Contributed by ``agent_traffic``; sizes in bytes."""

    at: datetime
    connections: int
    received: int
    sent: int


@dataclass(frozen=True, slots=True)
class Command:
    """A command for the user's own computer, and what it is for."""

    purpose: str
    text: str


@dataclass(frozen=True, slots=True)
class ShownApp:
    """An app: ``link`` if the viewer can open it, else ``hint`` says how to reach it, with a command if there is
    one."""

    id: uuid.UUID
    name: str
    health: str
    link: str = ""
    hint: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class ShownAgent:
    """An agent with what the page says about it. ``commands`` is empty if the viewer may not connect, or the agent has
    no tunnel."""

    agent: WorkspaceAgent
    status: AgentStatus
    gone_at: datetime | None
    troubleshooting_url: str
    commands: Sequence[Command] = ()
    apps: Sequence[ShownApp] = ()
    more_apps: int = 0
    traffic: Traffic | None = None


@dataclass(frozen=True, slots=True)
class Agents:
    """The agents of a workspace. ``late_in`` is the number of seconds until one of them exceeds its time limit, None if
    none can."""

    shown: Sequence[ShownAgent] = ()
    more: int = 0
    late_in: int | None = None
    may_connect: bool = False


def agents_of(actor: Actor, workspace: Workspace, build: WorkspaceBuild, *, may_update: bool) -> Agents:
    """Return the agents of the build of a running workspace. At most five queries."""
    rows = _rows(build)
    found = list(rows[: AGENTS_SHOWN + 1])
    more = rows.count() - AGENTS_SHOWN if len(found) > AGENTS_SHOWN else 0
    found = found[:AGENTS_SHOWN]
    connects = may_connect(actor, workspace)
    now = database_time() if found else None
    traffic = _traffic([agent.pk for agent in found]) if may_update else {}
    shown = []
    for agent in found:
        target = _target(actor, workspace, agent, of_several=len(found) > 1)
        reachable = target if connects and _has_tunnel(agent) else ""
        apps = [_app(app, reachable, may_open=connects or may_update) for app in agent.shown_apps]  # type: ignore[attr-defined]
        shown.append(
            ShownAgent(
                agent=agent,
                status=agent_status(agent, now),
                gone_at=gone_at(agent, now),
                troubleshooting_url=_web_address(agent.troubleshooting_url or settings.AGENT_TROUBLESHOOTING_URL),
                commands=_commands(actor, workspace, agent, target) if reachable else (),
                apps=apps,
                more_apps=agent.app_count - len(apps),  # type: ignore[attr-defined]
                traffic=traffic.get(agent.pk),
            )
        )
    return Agents(shown, more, _late_in(shown, now), connects)


def _rows(build: WorkspaceBuild) -> QuerySet[WorkspaceAgent]:
    apps = Prefetch("apps", WorkspaceApp.objects.order_by("slug")[:APPS_SHOWN], to_attr="shown_apps")
    rows = WorkspaceAgent.objects.filter(resource__job=build.job_id, resource__hide=False).select_related("resource")
    rows = rows.defer("startup_script", "environment_variables", "resource__icon").annotate(app_count=Count("apps"))
    return rows.prefetch_related(apps).order_by("resource__position", F("position"), "name", "id")


def may_connect(actor: Actor, workspace: Workspace) -> bool:
    """Return True if the actor may open connections into the workspace."""
    ids = {"organization_id": workspace.organization_id, "owner_id": workspace.owner_id}
    return allowed(actor, Action.CREATE, Resource.WORKSPACE_EXECUTION, **ids)


def _traffic(agent_ids: Sequence[uuid.UUID]) -> Mapping[uuid.UUID, Traffic]:
    found: dict[uuid.UUID, Traffic] = {}
    for latest_traffic in contributions("agent_traffic") if agent_ids else ():
        found |= latest_traffic(agent_ids)
    return found


def _late_in(shown: Sequence[ShownAgent], now: datetime | None) -> int | None:
    """Return the seconds until the first agent that still connects exceeds its time limit, rounded up."""
    waits = [
        one.agent.connection_timeout_seconds - (now - one.agent.created_at).total_seconds()
        for one in shown
        if now and one.status == AgentStatus.CONNECTING and one.agent.connection_timeout_seconds > 0
    ]
    first = min(waits, default=LONGEST_WAIT)
    return int(first) + 1 if first < LONGEST_WAIT else None


# ---------------------------------------------------------------------- how to connect
def _has_tunnel(agent: WorkspaceAgent) -> bool:
    """Return True if the agent's program has a tunnel, which our own agent has not. Before an agent has reported its
    version, this is what the server offers for download."""
    if not agent.version:
        return bool(settings.AGENT_BINARIES)
    generation, _, build = agent.version.partition("+")
    is_own = generation == settings.BUILD_VERSION.partition("+")[0] and _OWN_VERSION.match(build)
    return not is_own


def _target(actor: Actor, workspace: Workspace, agent: WorkspaceAgent, *, of_several: bool) -> str:
    """Return the name of the agent for the command line, quoted for a shell."""
    name = workspace.name if workspace.owner_id == actor.id else f"{workspace.owner.username}/{workspace.name}"
    return shlex.quote(f"{name}.{agent.name}" if of_several else name)


def _commands(actor: Actor, workspace: Workspace, agent: WorkspaceAgent, target: str) -> Sequence[Command]:
    commands = [
        Command("Sign in, once per computer", f"coder login {shlex.quote(settings.ACCESS_URL)}"),
        Command("Open a shell", f"coder ssh {target}"),
        Command("Reach a port as localhost:8080", f"coder port-forward {target} --tcp 8080:8080"),
    ]
    if workspace.owner_id == actor.id:  # config-ssh writes the hosts of the user's own workspaces
        host = shlex.quote(f"coder.{workspace.name}.{agent.name}")
        commands += [
            Command("Set up ssh, scp and editors", "coder config-ssh"),
            Command("Then connect with ssh", f"ssh {host}"),
        ]
    return commands


# ---------------------------------------------------------------------- apps
def link_of(app: WorkspaceApp) -> str:
    """Return the address of an external app, empty for other apps and for addresses that are not safe to open."""
    return app.url if app.external and _scheme(app.url) in WEB_SCHEMES | EDITOR_SCHEMES else ""


def _app(app: WorkspaceApp, target: str, *, may_open: bool) -> ShownApp:
    """``target`` is the agent for the command line, empty if the viewer cannot connect to it."""
    name = app.display_name or app.slug
    link = link_of(app) if may_open else ""
    hint, command = ("", "") if link else _hint(app, target)
    return ShownApp(app.pk, name, app.health, link, hint, command)


def _hint(app: WorkspaceApp, target: str) -> tuple[str, str]:
    """Return how an app without a link is reached, and the command for it if there is one."""
    if app.command:
        return (f"Then run {app.command}", f"coder ssh {target}") if target else ("Runs in a terminal", "")
    if app.external:
        return ("Opened by those who may connect" if link_of(app) else "Its address is not one that browsers open"), ""
    port = _local_port(app.url)
    if port is None:
        return "It has no address", ""
    if target:
        return f"Then open {app.url}", f"coder port-forward {target} --tcp {port}:{port}"
    return f"On port {port} of the machine", ""


def _local_port(url: str) -> int | None:
    try:
        parts = urlsplit(url)
        return parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:  # not an address
        return None


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:  # not an address
        return ""


def _web_address(url: str) -> str:
    return url if _scheme(url) in WEB_SCHEMES else ""
