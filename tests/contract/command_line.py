"""The commands of Coder's command line: its calls, in its order, with the statuses that it requires.

Requests are sent as the Go SDK sends them, and responses are decoded as the SDK decodes them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.contract import golang as go
from tests.contract.clients import GoClient
from tests.contract.golang import DecodeError, decode

NIL = "00000000-0000-0000-0000-000000000000"
MISSING = "missing parameter"
VERSION = "v0.15."


class CommandFailedError(Exception):
    """The command line would print this message and exit with status 1."""


@dataclass
class CommandLine:
    """One configuration folder: a URL and a token. ``answers`` are the values that the user enters, by variable."""

    url: str
    token: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)
    # The hidden option --test.provisioner.
    provisioner: str = "echo"

    def __post_init__(self) -> None:
        self.go = GoClient(self.url, self.token)

    def close(self) -> None:
        self.go.close()

    def use(self, token: str) -> None:
        self.token = self.go.token = token

    # ------------------------------------------------------------------ the start of every command
    def preamble(self) -> None:
        """Make the first calls of every command. Each command would print the warnings, so there must be none."""
        assert self.go.call("GET", "/buildinfo", 200, go.BuildInfo)["version"].startswith(VERSION)
        assert self.go.call("GET", "/entitlements", 200, go.Entitlements)["warnings"] == []

    def organization(self) -> str:
        """Return the id of the first organization, in which commands run. The command line assumes that it exists."""
        self.preamble()
        return self.go.call("GET", "/users/me/organizations", 200, go.slice_(go.Organization))[0]["id"]

    # ------------------------------------------------------------------ signing in
    def login_first_user(self, *, username: str, email: str, password: str) -> None:
        """``login URL --first-user-username …`` on a server without users."""
        self.go.call("GET", "/buildinfo", 200, go.BuildInfo)
        self.go.call("GET", "/users/first", 404, go.Response)
        body = {"email": email, "username": username, "password": password, "trial": False}
        self.go.call("POST", "/users/first", 201, go.FirstUser, body)
        self.login_with_password(email=email, password=password)

    def login_with_password(self, *, email: str, password: str) -> None:
        body = {"email": email, "password": password}
        self.use(self.go.call("POST", "/users/login", 201, go.Login, body)["session_token"])

    def login_with_token(self, token: str) -> str:
        """``login URL --token T``: return the username."""
        self.go.call("GET", "/buildinfo", 200, go.BuildInfo)
        self.go.call("GET", "/users/first", 200, go.Response)
        self.use(token)
        return self.go.call("GET", "/users/me", 200, go.User)["username"]

    def logout(self) -> None:
        self.preamble()
        assert self.go.call("POST", "/users/logout", 200, go.Response)["message"]

    # ------------------------------------------------------------------ templates
    def templates_list(self) -> list[dict[str, Any]]:
        return self.go.call("GET", f"/organizations/{self.organization()}/templates", 200, go.slice_(go.Template))

    def template(self, organization: str, name: str) -> dict[str, Any]:
        return self.go.call("GET", f"/organizations/{organization}/templates/{name}", 200, go.Template)

    def templates_create(self, name: str, archive: bytes) -> dict[str, Any]:
        organization = self.organization()
        path = f"/organizations/{organization}/templates"
        if self.go.send("GET", f"{path}/{name}").status_code == 200:
            raise CommandFailedError(f"A template already exists named {name!r}!")
        version = self.import_version(organization, {"template_id": NIL}, archive)
        body = {
            "name": name,
            "template_version_id": version["id"],
            "default_ttl_ms": 86_400_000,
            "allow_user_cancel_workspace_jobs": None,
        }
        return self.go.call("POST", path, 201, go.Template, body)

    def templates_push(self, name: str, archive: bytes, *, version_name: str = "") -> dict[str, Any]:
        """``templates push NAME --name V``: return the new version, now the active version."""
        organization = self.organization()
        template = self.template(organization, name)
        body = {"name": version_name} if version_name else {}
        version = self.import_version(organization, {**body, "template_id": template["id"]}, archive, template)
        promoted = self.go.call(
            "PATCH", f"/templates/{template['id']}/versions", 200, go.Response, {"id": version["id"]}
        )
        assert promoted["message"]
        return version

    def templates_pull(self, name: str) -> bytes:
        """Return the archive of the newest version."""
        template = self.template(self.organization(), name)
        versions = self.go.call("GET", f"/templates/{template['id']}/versions", 200, go.slice_(go.TemplateVersion))
        newest = max(versions, key=lambda version: version["created_at"])
        response = self.go.send("GET", f"/files/{newest['job']['file_id']}")
        assert (response.status_code, response.headers["Content-Type"]) == (200, "application/x-tar")
        return response.content

    def templates_edit(self, name: str, **changes: Any) -> dict[str, Any]:
        """Change a template. Like the command line, leave out zero values."""
        template = self.template(self.organization(), name)
        body = {key: value for key, value in changes.items() if value}
        return self.go.call("PATCH", f"/templates/{template['id']}", 200, go.Template, body)

    def templates_delete(self, name: str) -> None:
        template = self.template(self.organization(), name)
        self.go.call("DELETE", f"/templates/{template['id']}", 200, go.Response)

    def templates_versions_list(self, name: str) -> list[tuple[str, str, str, bool]]:
        """Return each version's name, author, status, and True for the active version."""
        template = self.template(self.organization(), name)
        versions = self.go.call("GET", f"/templates/{template['id']}/versions", 200, go.slice_(go.TemplateVersion))
        return [
            (
                row["name"],
                row["created_by"]["username"],
                row["job"]["status"],
                row["id"] == template["active_version_id"],
            )
            for row in versions
        ]

    def parameters_list(self, scope: str, name: str) -> list[dict[str, Any]]:
        """``parameters list SCOPE NAME``. For the scope of an import, ``name`` is the version's id."""
        organization = self.organization()
        if scope == "template":
            scope_id = self.template(organization, name)["id"]
        else:
            scope_id = self.go.call("GET", f"/templateversions/{name}", 200, go.TemplateVersion)["job"]["id"]
        return self.go.call("GET", f"/parameters/{scope}/{scope_id}", 200, go.slice_(go.Parameter))

    # ------------------------------------------------------------------ imports
    def import_version(
        self, organization: str, body: Mapping[str, Any], archive: bytes, template: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Upload and import an archive. Ask the user for values until each variable has one."""
        body = {
            "storage_method": "file",
            "file_id": self.upload(archive),
            "provisioner": self.provisioner,
            "tags": {},
            **body,
        }
        given: list[dict[str, str]] = []
        while True:
            if given:
                body = {**body, "parameter_values": given}
            path = f"/organizations/{organization}/templateversions"
            created = self.go.call("POST", path, 201, go.TemplateVersion, body)
            version = self.wait(f"/templateversions/{created['id']}")
            path = f"/templateversions/{version['id']}"
            schemas = self.go.call("GET", f"{path}/schema", 200, go.slice_(go.ParameterSchema))
            values = self.go.call("GET", f"{path}/parameters", 200, go.slice_(go.ComputedParameter))
            job = version["job"]
            if MISSING in job["error"] and len(given) < len(schemas):
                given = self.ask(schemas, {value["name"] for value in values}, self.reusable(template))
                continue
            if job["status"] != "succeeded":
                raise CommandFailedError(job["error"] or job["status"])
            self.go.call("GET", f"{path}/resources", 200, go.slice_(go.WorkspaceResource))
            return version

    def upload(self, archive: bytes) -> str:
        response = self.go.send("POST", "/files", content=archive, headers={"Content-Type": "application/x-tar"})
        assert response.status_code in {200, 201}, response.text
        return decode(go.Upload, response.content)["hash"]

    def reusable(self, template: Mapping[str, Any] | None) -> dict[str, str]:
        """Return the ids of the values with which the active version was imported, by name."""
        if template is None:
            return {}
        active = self.go.call("GET", f"/templateversions/{template['active_version_id']}", 200, go.TemplateVersion)
        path = f"/parameters/import_job/{active['job']['id']}"
        return {row["name"]: row["id"] for row in self.go.call("GET", path, 200, go.slice_(go.Parameter))}

    def ask(
        self, schemas: Sequence[Mapping[str, Any]], known: set[str], reusable: Mapping[str, str]
    ) -> list[dict[str, str]]:
        """Return values for the variables without one. Raises CommandFailedError when the user gives no answer."""
        given = []
        for schema in schemas:
            name = schema["name"]
            if name in known:
                continue
            if name in reusable:
                blank = dict.fromkeys(("name", "source_value", "source_scheme", "destination_scheme"), "")
                given.append({**blank, "copy_from_parameter": reusable[name]})
            elif name in self.answers:
                given.append(
                    {
                        "copy_from_parameter": NIL,
                        "name": name,
                        "source_value": self.answers[name],
                        "source_scheme": "data",
                        "destination_scheme": schema["default_destination_scheme"],
                    }
                )
            else:
                raise CommandFailedError(f"No answer for the variable {name}.")
        return given

    def wait(self, path: str, kind: go.Kind = go.TemplateVersion) -> dict[str, Any]:
        """Read ``path``, follow the job's log to its end, and return the object at ``path`` after that."""
        self.go.call("GET", path, 200, kind)
        with self.go.follow(f"{path}/logs") as socket:
            assert socket.response.status_code == 101
            for name in ("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"):
                assert name not in socket.response.headers
            messages = list(socket)
        assert socket.close_code in {1000, 1001}
        for message in messages:
            self.read_line(message)
        found = self.go.call("GET", path, 200, kind)
        job = found.get("job", found)
        # The command line treats every other status as a failure.
        assert job["status"] in {"succeeded", "failed", "canceled"}
        return found

    def read_line(self, message: str | bytes) -> None:
        """Check one message of a log: a text with one object and all fields.

        Go reuses the structure of the previous line, so a missing field would repeat its value.
        """
        if not isinstance(message, str):
            raise DecodeError("a binary message")
        line = decode(go.ProvisionerJobLog, message)
        assert list(json.loads(message)) == list(line)
        assert len(message.encode()) <= 32_768
        assert line["log_level"] in {"trace", "debug", "info", "warn", "error"}

    # ------------------------------------------------------------------ users, groups, tokens
    def users_create(self, *, username: str, email: str, password: str) -> dict[str, Any]:
        body = {"email": email, "username": username, "password": password, "organization_id": self.organization()}
        return self.go.call("POST", "/users", 201, go.User, body)

    def users_list(self) -> list[dict[str, Any]]:
        self.preamble()
        return self.go.call("GET", "/users?q=", 200, go.UsersPage)["users"]

    def users_show(self, name: str) -> tuple[dict[str, Any], list[str]]:
        """Return a user and the names of the user's organizations."""
        self.preamble()
        user = self.go.call("GET", f"/users/{name}", 200, go.User)
        organizations = [
            self.go.call("GET", f"/organizations/{id_}", 200, go.Organization)["name"]
            for id_ in user["organization_ids"]
        ]
        return user, organizations

    def users_status(self, name: str, command: str) -> str:
        """``users activate`` or ``users suspend``: return the new status."""
        self.preamble()
        user = self.go.call("GET", f"/users/{name}", 200, go.User)
        return self.go.call("PUT", f"/users/{user['id']}/status/{command}", 200, go.User)["status"]

    def groups_create(self, name: str) -> dict[str, Any]:
        path = f"/organizations/{self.organization()}/groups"
        return self.go.call("POST", path, 201, go.Group, {"name": name, "avatar_url": "", "quota_allowance": 0})

    def groups_list(self) -> list[dict[str, Any]]:
        return self.go.call("GET", f"/organizations/{self.organization()}/groups", 200, go.slice_(go.Group))

    def groups_edit(self, name: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> dict[str, Any]:
        """Add and remove members, given by email."""
        group = self.go.call("GET", f"/organizations/{self.organization()}/groups/{name}", 200, go.Group)
        ids = {user["email"]: user["id"] for user in self.go.call("GET", "/users?q=", 200, go.UsersPage)["users"]}
        body = {
            "add_users": [ids[email] for email in add],
            "remove_users": [ids[email] for email in remove],
            "name": "",
            "avatar_url": None,
            "quota_allowance": None,
        }
        return self.go.call("PATCH", f"/groups/{group['id']}", 200, go.Group, body)

    def groups_delete(self, name: str) -> None:
        group = self.go.call("GET", f"/organizations/{self.organization()}/groups/{name}", 200, go.Group)
        self.go.call("DELETE", f"/groups/{group['id']}", 200, go.Response)

    def tokens_create(self, *, lifetime_seconds: int) -> str:
        self.preamble()
        body = {"lifetime": lifetime_seconds * 10**9, "scope": ""}
        return self.go.call("POST", "/users/me/keys/tokens", 201, go.NewKey, body)["key"]

    def tokens_list(self) -> list[dict[str, Any]]:
        self.preamble()
        return self.go.call("GET", "/users/me/keys/tokens", 200, go.slice_(go.APIKey))

    def tokens_remove(self, key_id: str) -> None:
        self.preamble()
        response = self.go.send("DELETE", f"/users/me/keys/{key_id}")
        assert (response.status_code, response.content) == (204, b"")
