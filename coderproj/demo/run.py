"""The main workflow, step by step: push a starter, watch its import, make it a template, dry-run and build it."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from coderproj.base.terminal import TerminalOutput
from coderproj.demo import workspaces
from coderproj.demo.api import Api
from coderproj.demo.errors import require_success
from coderproj.demo.workspaces import BuildFigures


@dataclass(slots=True)
class Figures:
    """The measurements in seconds."""

    import_wall: float = 0.0
    first_line: float = 0.0
    queued: float = 0.0
    builds: list[BuildFigures] = field(default_factory=list)
    durations: dict[str, float] = field(default_factory=dict)


def run(
    api: Api,
    show: TerminalOutput,
    *,
    name: str,
    archive: bytes,
    changed: dict[str, str],
    rebuilt: dict[str, str],
    variables: dict[str, str],
) -> Figures:
    """Run the first steps of a platform team. ``changed`` are rich parameter values for the dry run, ``rebuilt`` those
    for a second build of a workspace, ``variables`` the values of variables in a second version.

    Raises DemoFailedError and ApiError.
    """
    figures = Figures(durations=show.durations)
    organization = api.call("GET", "users/me/organizations")[0]["id"]
    template = api.find(f"organizations/{organization}/templates/{name}")

    with show.step(f"Upload the {name} starter ({len(archive) // 1024} KiB)"):
        file_id = api.upload(archive)

    show.console.print("Import: run Terraform for start and for stop")
    began = time.perf_counter()
    version = api.call(
        "POST",
        f"organizations/{organization}/templateversions",
        {"file_id": file_id, "template_id": template["id"] if template else None, "message": "Pushed by the demo"},
    )
    first = show.job(api.follow(f"templateversions/{version['id']}/logs"))
    figures.import_wall = time.perf_counter() - began
    figures.first_line = (first or began) - began
    version = api.call("GET", f"templateversions/{version['id']}")
    require_success(version["job"], "The import")
    figures.queued = _between(version["job"], "created_at", "started_at")
    show.durations["Import"] = figures.import_wall
    show.console.print(f"[green]✓[/] Imported version {version['name']} [dim]({figures.import_wall * 1000:.0f} ms)[/]")

    path = f"templateversions/{version['id']}"
    show.parameters(api.call("GET", f"{path}/schema"), api.call("GET", f"{path}/rich-parameters"))
    resources = api.call("GET", f"{path}/resources")
    show.resources([row for row in resources if row["workspace_transition"] == "start"], "Resources when started")
    show.resources([row for row in resources if row["workspace_transition"] == "stop"], "Resources when stopped")

    if template is None:
        with show.step(f"Create template {name}"):
            body = {
                "name": name,
                "template_version_id": version["id"],
                "description": "The starter, pushed by the demo",
            }
            template = api.call("POST", f"organizations/{organization}/templates", body)
    else:
        with show.step(f"Promote version {version['name']} of template {name}"):
            api.call("PATCH", f"templates/{template['id']}/versions", {"id": version["id"]})

    values = ", ".join(f"{key} = {value}" for key, value in changed.items())
    show.console.print(f"Dry run with {values}")
    began = time.perf_counter()
    body = {"rich_parameter_values": [{"name": key, "value": value} for key, value in changed.items()]}
    job = api.call("POST", f"{path}/dry-run", body)
    dry_run = f"{path}/dry-run/{job['id']}"
    show.job(api.follow(f"{dry_run}/logs"))
    require_success(api.call("GET", dry_run), "The dry run")
    show.durations["Dry run"] = time.perf_counter() - began
    show.resources(api.call("GET", f"{dry_run}/resources"), f"Resources with {values}")

    text = ", ".join(f"{key} = {value}" for key, value in variables.items())
    show.console.print(f"Import a second version with {text}")
    given = [{"name": key, "value": value} for key, value in variables.items()]
    second = api.call(
        "POST",
        f"organizations/{organization}/templateversions",
        {"file_id": file_id, "template_id": template["id"], "user_variable_values": given, "message": text},
    )
    show.job(api.follow(f"templateversions/{second['id']}/logs"))
    require_success(api.call("GET", f"templateversions/{second['id']}")["job"], "The second import")
    figures.builds = workspaces.run(api, show, template=template, version_id=second["id"], values=rebuilt)
    return figures


def _between(job: dict[str, Any], start: str, end: str) -> float:
    """Return the seconds between two times of a job."""
    return (datetime.fromisoformat(job[end]) - datetime.fromisoformat(job[start])).total_seconds()
