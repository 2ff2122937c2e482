"""Workspaces as clients of Coder use them: the command line, the dashboard, and the client ``coder-api``."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from coderproj.base.times import moment_text
from tests.contract import golang as go
from tests.contract.command_line import CommandLine
from tests.contract.golang import decode
from tests.contract.workspace_commands import EIGHT_HOURS_MS, WorkspaceCommands
from tests.vocabulary import tar_of

pytestmark = pytest.mark.django_db

SIZE = {"name": "size", "type": "number", "mutable": True, "default_value": "2"}
AGENT = {"name": "main", "operating_system": "linux", "architecture": "amd64", "apps": [{"slug": "code"}]}
RESOURCES = [{"name": "box", "type": "terraform_data", "agents": [AGENT], "daily_cost": 3}]


def source(**more: object) -> bytes:
    """Return a template whose workspaces have a resource with an agent while they run."""
    plan = {"start": {"resources": RESOURCES, "rich_parameters": [SIZE, *more.get("parameters", ())]}}
    script = {"plan": plan, "apply": {"start": {"resources": RESOURCES}}}
    return tar_of({"echo.json": json.dumps(script), "note.txt": str(more)})


@pytest.fixture(scope="module")
def _template(deployment) -> str:
    line = CommandLine(deployment.url, deployment.token)
    line.templates_create("boxes", source())
    line.close()
    return "boxes"


@pytest.fixture
def commands(deployment, _template) -> Iterator[WorkspaceCommands]:
    line = CommandLine(deployment.url, deployment.token)
    yield WorkspaceCommands(line)
    line.close()


def test_life_of_a_workspace(commands):
    """``create``, ``list``, ``show``, ``stop``, ``start``, ``restart``, ``rename``, ``delete``."""
    created = commands.create("life", "boxes", values={"size": "4"})
    assert (created["status"], created["build_number"], created["daily_cost"]) == ("running", 1, 3)
    assert commands.parameters(created["id"]) == {"size": "4"}
    [listed] = [row for row in commands.list() if row["name"] == "life"]
    assert (listed["ttl_ms"], listed["outdated"], listed["template_name"]) == (EIGHT_HOURS_MS, False, "boxes")
    shown = commands.show("ada/life")
    [resource] = shown["latest_build"]["resources"]
    assert [agent["name"] for agent in resource["agents"]] == ["main"]
    assert resource["agents"][0]["status"] == "connecting"
    assert commands.build("life", "stop")["status"] == "stopped"
    assert commands.build("life", "start")["status"] == "running"
    assert commands.restart("life")["build_number"] == 5
    commands.rename("life", "renamed")
    assert commands.build("ada/renamed", "delete")["status"] == "deleted"
    assert "renamed" not in {row["name"] for row in commands.list("")}
    gone = commands.go.send("GET", f"/workspaces/{created['workspace_id']}")
    assert gone.status_code == 410
    assert decode(go.Response, gone.content)["message"]


def test_update_keeps_the_values(commands):
    first = commands.create("updated", "boxes", values={"size": "4"})
    assert commands.update("updated") is None
    commands.line.templates_push("boxes", source(parameters=[{**SIZE, "name": "disk", "default_value": "10"}]))
    assert commands.named("updated")["outdated"]
    updated = commands.update("updated", {"disk": "20"})
    assert updated["template_version_id"] != first["template_version_id"]
    assert commands.parameters(updated["id"]) == {"size": "4", "disk": "20"}
    assert not commands.named("updated")["outdated"]
    commands.build("updated", "delete")


def test_schedules(commands):
    commands.create("scheduled", "boxes")
    schedule = "CRON_TZ=Europe/Dublin 30 9 * * MON-FRI"
    assert commands.schedule_start("scheduled", schedule)["autostart_schedule"] == schedule
    assert commands.schedule_start("scheduled", "")["autostart_schedule"] is None
    assert commands.schedule_stop("scheduled", 3_600_000)["ttl_ms"] == 3_600_000
    assert commands.schedule_stop("scheduled", None)["ttl_ms"] is None
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=3)
    extended = commands.schedule_override("scheduled", moment_text(later))
    assert extended["latest_build"]["deadline"] == moment_text(later)
    commands.build("scheduled", "delete")


def test_state_is_pulled_and_pushed(commands):
    commands.create("stateful", "boxes")
    assert json.loads(commands.state_pull("stateful"))["serial"] == 1
    pushed = commands.state_push("stateful", b'{"serial": 41}')
    assert pushed["status"] == "running"
    assert json.loads(commands.state_pull("stateful"))["serial"] == 42
    assert json.loads(commands.state_pull("stateful", 1))["serial"] == 1
    commands.build("stateful", "delete", orphan=True)


# ---------------------------------------------------------------------- the dashboard
def test_dashboard_builds_and_watches(deployment, commands):
    headers = {"Accept": "application/json, text/plain, */*", "Coder-Session-Token": deployment.token}
    with httpx.Client(base_url=f"{deployment.url}/api/v2", headers=headers, timeout=30) as tab:
        commands.create("watched", "boxes")
        page = tab.get("/workspaces", params={"q": "owner:me", "limit": 25, "offset": 0}).json()
        found = next(row for row in page["workspaces"] if row["name"] == "watched")
        path = f"/workspaces/{found['id']}"
        assert tab.get("/users/ada/workspace/watched", params={"include_deleted": "true"}).json()["id"] == found["id"]
        assert tab.get("/applications/host").json() == {"host": ""}
        since = moment_text(datetime.now(UTC) - timedelta(days=30))
        [build] = tab.get(f"{path}/builds", params={"since": since}).json()
        assert build["job"]["status"] == "succeeded"
        version = found["latest_build"]["template_version_id"]
        with tab.stream("GET", f"{path}/watch", headers={"Accept": "text/event-stream"}) as events:
            assert events.headers["Content-Type"].startswith("text/event-stream")
            lines = events.iter_lines()
            assert next(lines) == "event: ping"
            body = {"transition": "stop", "template_version_id": version}
            assert tab.post(f"{path}/builds", json=body).status_code == 201
            assert "stopped" in statuses_until(lines, "stopped")
        assert tab.get("/users/ada/workspace/watched/builds/2").json()["status"] == "stopped"
        commands.build("watched", "delete")


def statuses_until(lines: Iterator[str], wanted: str) -> list[str]:
    """Return the statuses in the events of a workspace until the wanted one, or the end of the stream."""
    found: list[str] = []
    for line in lines:
        if line.startswith("data: "):
            found.append(json.loads(line.removeprefix("data: "))["latest_build"]["status"])
            if found[-1] == wanted:
                break
    return found


# ---------------------------------------------------------------------- coder-api
def test_calls_of_coder_api(deployment, commands):
    """It names the template and the version, in the newer and in the older path, and repeats what it does not need."""
    headers = {"Coder-Session-Token": deployment.token, "Accept": "application/json"}
    with httpx.Client(base_url=f"{deployment.url}/api/v2", headers=headers, timeout=30) as client:
        template = commands.line.template(commands.line.organization(), "boxes")
        body = {
            "name": "newer",
            "template_id": None,
            "template_version_id": template["active_version_id"],
            "rich_parameter_values": [],
            "automatic_updates": "always",
            "autostart_schedule": None,
            "ttl_ms": None,
        }
        made = client.post("/users/me/workspaces", json=body)
        assert made.status_code == 201, made.text
        commands.wait(made.json()["latest_build"]["id"])
        path = f"/workspaces/{made.json()['id']}"
        assert client.get("/users/me/workspace/newer").json()["latest_build"]["status"] == "running"
        start = client.post(f"{path}/builds", json={"transition": "start"})
        assert start.status_code == 201
        commands.wait(start.json()["id"])
        deleted = client.post(f"{path}/builds", json={"orphan": False, "transition": "delete"})
        assert deleted.status_code == 201
        commands.wait(deleted.json()["id"])
