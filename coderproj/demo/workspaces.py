"""The life of a workspace, step by step: create it, change a parameter, run its agent, update, stop and delete it."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from coderproj.base.terminal import TerminalOutput
from coderproj.demo import machine
from coderproj.demo.api import Api
from coderproj.demo.errors import DemoFailedError, require_success


@dataclass(slots=True)
class BuildFigures:
    """The measurements of one build in seconds: of each stage, and from the request to the end."""

    name: str
    wall: float
    stages: dict[str, float] = field(default_factory=dict)


def run(
    api: Api, show: TerminalOutput, *, template: dict[str, Any], version_id: str, values: dict[str, str]
) -> list[BuildFigures]:
    """Build a workspace of a template in every way. ``values`` are those of the parameters that change, ``version_id``
    is the new version that it is updated to.

    Raises DemoFailedError and ApiError.
    """
    name = f"demo-{secrets.token_hex(2)}"
    owner = api.call("GET", "users/me")["id"]
    path = f"organizations/{template['organization_id']}/members/{owner}/workspaces"
    figures = []

    def build(step: str, method_path: str, body: dict[str, Any]) -> dict[str, Any]:
        show.console.print(f"{step}")
        began = time.perf_counter()
        made: dict[str, Any] = api.call("POST", method_path, body)
        found = made.get("latest_build", made)
        stages: dict[str, float] = {}
        show.job(_recorded(api.follow(f"workspacebuilds/{found['id']}/logs"), stages))
        wall = time.perf_counter() - began
        ended = api.call("GET", f"workspacebuilds/{found['id']}")
        require_success(ended["job"], step)
        figures.append(BuildFigures(step, wall, _durations(stages, ended["job"]["completed_at"])))
        show.console.print(f"[green]✓[/] Workspace {name} is {ended['status']} [dim]({wall * 1000:.0f} ms)[/]")
        return made

    workspace = build(f"Create workspace {name}", path, {"name": name, "template_id": template["id"]})
    builds = f"workspaces/{workspace['id']}/builds"
    changed = ", ".join(f"{key} = {value}" for key, value in values.items())
    given = [{"name": key, "value": value} for key, value in values.items()]
    started = build(f"Start it with {changed}", builds, {"transition": "start", "rich_parameter_values": given})
    show.resources(api.call("GET", f"workspacebuilds/{started['id']}/resources"), f"Resources with {changed}")
    machine.run(api, show, started["id"])

    api.call("PATCH", f"templates/{template['id']}/versions", {"id": version_id})
    if not api.call("GET", f"workspaces/{workspace['id']}")["outdated"]:
        raise DemoFailedError("The workspace is not outdated, although its version is not the active one.")
    build("Update it to the new version", builds, {"transition": "start", "template_version_id": version_id})
    build("Stop it", builds, {"transition": "stop"})
    build("Delete it", builds, {"transition": "delete"})
    return figures


def _recorded(
    lines: Iterator[tuple[float, dict[str, Any]]], stages: dict[str, float]
) -> Iterator[tuple[float, dict[str, Any]]]:
    """Pass lines on, and record when each stage began, in Unix time."""
    for arrived, line in lines:
        stages.setdefault(line["stage"], _seconds(line["created_at"]))
        yield arrived, line


def _durations(stages: dict[str, float], completed_at: str) -> dict[str, float]:
    """Return the length of each stage in seconds: until the next one, or the end."""
    ends = [*list(stages.values())[1:], _seconds(completed_at)]
    return {stage: max(0.0, end - began) for (stage, began), end in zip(stages.items(), ends, strict=True)}


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
