"""The workspace commands of Coder's command line: its calls, in its order, with the statuses that it requires."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.contract import golang as go
from tests.contract.command_line import NIL, CommandFailedError, CommandLine

EIGHT_HOURS_MS = 28_800_000


@dataclass
class WorkspaceCommands:
    """The commands of the user of ``line``."""

    line: CommandLine

    @property
    def go(self) -> Any:
        return self.line.go

    def named(self, name: str) -> dict[str, Any]:
        """Return a workspace by ``NAME`` or ``OWNER/NAME``."""
        owner, _, own = name.rpartition("/")
        path = f"/users/{owner or 'me'}/workspace/{own}?include_deleted=false"
        return self.go.call("GET", path, 200, go.Workspace)

    def create(self, name: str, template: str, *, values: Mapping[str, str] | None = None) -> dict[str, Any]:
        """``create NAME -t TEMPLATE``: return the build after it has ended."""
        organization = self.line.organization()
        taken = self.go.send("GET", f"/users/me/workspace/{name}?include_deleted=false")
        if taken.status_code == 200:
            raise CommandFailedError(f"A workspace already exists named {name!r}!")
        found = self.line.template(organization, template)
        self.prepared(found["active_version_id"], name)
        body = {
            "template_id": found["id"],
            "name": name,
            "autostart_schedule": None,
            "ttl_ms": EIGHT_HOURS_MS,
            "parameter_values": None,
            "rich_parameter_values": [{"name": key, "value": value} for key, value in (values or {}).items()] or None,
        }
        path = f"/organizations/{organization}/members/me/workspaces"
        made = self.go.call("POST", path, 201, go.Workspace, body)
        # The daemon may have claimed it already.
        assert made["latest_build"]["status"] in {"pending", "starting", "running"}
        return self.wait(made["latest_build"]["id"])

    def prepared(self, version_id: str, name: str) -> None:
        """Read a version with its parameters, and dry-run it."""
        path = f"/templateversions/{version_id}"
        self.go.call("GET", path, 200, go.TemplateVersion)
        self.go.call("GET", f"{path}/schema", 200, go.slice_(go.ParameterSchema))
        self.go.call("GET", f"{path}/rich-parameters", 200, go.slice_(go.TemplateVersionParameter))
        body = {"workspace_name": name, "parameter_values": None, "rich_parameter_values": None}
        job = self.go.call("POST", f"{path}/dry-run", 201, go.ProvisionerJob, body)
        self.line.wait(f"{path}/dry-run/{job['id']}", go.ProvisionerJob)
        self.go.call("GET", f"{path}/dry-run/{job['id']}/resources", 200, go.slice_(go.WorkspaceResource))

    def wait(self, build_id: str) -> dict[str, Any]:
        """Follow a build's log to its end, and return the build."""
        return self.line.wait(f"/workspacebuilds/{build_id}", go.WorkspaceBuild)

    def list(self, search: str = "owner:me") -> list[dict[str, Any]]:
        self.line.preamble()
        found = self.go.call("GET", f"/workspaces?{urlencode({'q': search})}", 200, go.WorkspacesPage)
        owners = {user["id"] for user in self.go.call("GET", "/users?q=", 200, go.UsersPage)["users"]}
        assert {workspace["owner_id"] for workspace in found["workspaces"]} <= owners
        assert found["count"] >= len(found["workspaces"])
        return found["workspaces"]

    def show(self, name: str) -> dict[str, Any]:
        self.line.preamble()
        self.go.call("GET", "/buildinfo", 200, go.BuildInfo)
        return self.named(name)

    def build(self, name: str, transition: str, **fields: Any) -> dict[str, Any]:
        """``start``, ``stop`` and ``delete``: return the build after it has ended."""
        workspace = self.named(name)
        body = {"template_version_id": NIL, "transition": transition, **fields}
        path = f"/workspaces/{workspace['id']}/builds"
        return self.wait(self.go.call("POST", path, 201, go.WorkspaceBuild, body)["id"])

    def restart(self, name: str) -> dict[str, Any]:
        self.build(name, "stop")
        return self.build(name, "start")

    def update(self, name: str, values: Mapping[str, str] | None = None) -> dict[str, Any] | None:
        """Build the active version with the workspace's values; None if it is up to date."""
        organization = self.line.organization()
        workspace = self.named(name)
        if not workspace["outdated"] and values is None:
            return None
        template = self.line.template(organization, workspace["template_name"])
        self.go.call("GET", f"/parameters/workspace/{workspace['id']}", 200, go.slice_(go.Parameter))
        build = workspace["latest_build"]
        kept = self.go.call("GET", f"/workspacebuilds/{build['id']}/parameters", 200, go.slice_(go.BuildParameter))
        self.prepared(template["active_version_id"], name)
        given = {row["name"]: row["value"] for row in kept} | dict(values or {})
        body = {
            "template_version_id": template["active_version_id"],
            "transition": build["transition"],
            "rich_parameter_values": [{"name": key, "value": value} for key, value in given.items()],
        }
        path = f"/workspaces/{workspace['id']}/builds"
        return self.wait(self.go.call("POST", path, 201, go.WorkspaceBuild, body)["id"])

    def parameters(self, build_id: str) -> dict[str, str]:
        rows = self.go.call("GET", f"/workspacebuilds/{build_id}/parameters", 200, go.slice_(go.BuildParameter))
        return {row["name"]: row["value"] for row in rows}

    def rename(self, name: str, new: str) -> None:
        self._change("PATCH", self.named(name)["id"], "", {"name": new})

    def schedule_start(self, name: str, schedule: str) -> dict[str, Any]:
        """``schedule start``; an empty schedule is ``manual``."""
        self._change("PUT", self.named(name)["id"], "/autostart", {"schedule": schedule})
        return self.named(name)

    def schedule_stop(self, name: str, ttl_ms: int | None) -> dict[str, Any]:
        """``schedule stop``; None is ``manual``."""
        self._change("PUT", self.named(name)["id"], "/ttl", {"ttl_ms": ttl_ms})
        return self.named(name)

    def schedule_override(self, name: str, deadline: str) -> dict[str, Any]:
        workspace = self.named(name)
        answer = self.go.send("PUT", f"/workspaces/{workspace['id']}/extend", json={"deadline": deadline})
        assert answer.status_code in {200, 304}, answer.text
        return self.named(name)

    def state_pull(self, name: str, number: int | None = None) -> bytes:
        if number is None:
            build = self.named(name)["latest_build"]
        else:
            build = self.go.call("GET", f"/users/me/workspace/{name}/builds/{number}", 200, go.WorkspaceBuild)
        answer = self.go.send("GET", f"/workspacebuilds/{build['id']}/state")
        assert answer.status_code == 200, answer.text
        return answer.content

    def state_push(self, name: str, state: bytes) -> dict[str, Any]:
        build = self.named(name)["latest_build"]
        body = {
            "template_version_id": build["template_version_id"],
            "transition": build["transition"],
            "state": base64.b64encode(state).decode(),
        }
        path = f"/workspaces/{build['workspace_id']}/builds"
        return self.wait(self.go.call("POST", path, 201, go.WorkspaceBuild, body)["id"])

    def _change(self, method: str, workspace_id: str, path: str, body: Mapping[str, Any]) -> None:
        answer = self.go.send(method, f"/workspaces/{workspace_id}{path}", json=body)
        assert (answer.status_code, answer.content) == (204, b""), answer.text
