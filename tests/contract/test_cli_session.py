"""Replay of a recorded session of Coder's command line. Ids can differ, shapes and statuses must not."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract import golang as go
from tests.contract.clients import GoClient
from tests.contract.command_line import CommandLine
from tests.contract.document import DATA, TIME
from tests.contract.sources import ARCHIVE, PASSWORD

pytestmark = pytest.mark.django_db

SESSION = json.loads((DATA / "cli_session.json").read_text())

# Recorded calls that are not replayed, by a part of their path, with the reason.
SKIPPED = {
    "/workspaces": "test_workspace_commands makes these calls",
    "/workspacebuilds/": "test_workspace_commands makes these calls",
    "/workspace/": "test_workspace_commands makes these calls",
}
# Responses that intentionally differ from the recorded ones, with the expected status.
DIFFERENT = {"GET /api/v2/entitlements": (200, go.Entitlements)}  # the recorded edition had no such route
# Keys that the recording has with a value for "none", and that the server leaves out or returns as null.
ABSENT = {
    "template_id",  # recorded as the nil UUID while a version has no template
    "last_used",  # recorded as the year 1 while a token was not used
}

STRUCTURES = {
    r"/buildinfo": go.BuildInfo,
    r"/users/first|/users/logout": go.Response,
    r"/users/me": go.User,
    r"/users\?q=": go.UsersPage,
    r"/users/me/organizations": go.slice_(go.Organization),
    r"/users/me/keys/tokens": go.slice_(go.APIKey),
    r"/organizations/\S+/templates": go.slice_(go.Template),
    r"/organizations/\S+/templates/cli|/templates/[^/]+": go.Template,
    r"/organizations/\S+/templateversions|/templateversions/[^/]+": go.TemplateVersion,
    r"/templateversions/[^/]+/schema": go.slice_(go.ParameterSchema),
    r"/templateversions/[^/]+/parameters": go.slice_(go.ComputedParameter),
    r"/templateversions/[^/]+/rich-parameters": go.slice_(go.TemplateVersionParameter),
    r"/templateversions/[^/]+/(dry-run/[^/]+/)?resources": go.slice_(go.WorkspaceResource),
    r"/templateversions/[^/]+/dry-run(/[^/]+)?": go.ProvisionerJob,
    r"/templates/[^/]+/versions": go.slice_(go.TemplateVersion),
    r"/parameters/import_job/[^/]+": go.slice_(go.Parameter),
    r"/files": go.Upload,
}
CREATED = {
    r"/users/me/keys/tokens": go.NewKey,
    r"/organizations/\S+/templates": go.Template,
    r"/templates/[^/]+/versions": go.Response,
}


def structure(method: str, path: str, status: int) -> go.Kind:
    """Return the structure into which the SDK decodes the response."""
    if status >= 400 or method == "DELETE":
        return go.Response
    tables = (STRUCTURES,) if method == "GET" else (CREATED, STRUCTURES)
    return next(kind for table in tables for pattern, kind in table.items() if re.fullmatch(pattern, path))


class Replay:
    """Makes the calls of a recording. ``ids`` has the server's ids by their names in the recording."""

    def __init__(self, client: GoClient) -> None:
        self.client = client
        self.ids: dict[str, str] = {}

    def fill(self, text: str) -> str:
        return re.sub(r"\$\d+", lambda match: self.ids[match[0]], text)

    def body(self, call: dict[str, Any]) -> dict[str, Any]:
        """Return the options of the request. The scripted engine replaces Terraform."""
        if call.get("body") == "bytes":
            return {"content": ARCHIVE, "headers": {"Content-Type": "application/x-tar"}}
        if "body" not in call:
            return {}
        return {"json": json.loads(self.fill(json.dumps(call["body"])).replace('"terraform"', '"echo"'))}

    def make(self, call: dict[str, Any]) -> None:
        path = self.fill(call["path"]).removeprefix("/api/v2")
        if call["method"] == "WEBSOCKET":
            self.follow(call, path.removesuffix("?follow"))
            return
        status, kind = DIFFERENT.get(f"{call['method']} {call['path']}", (call["status"], None))
        response = self.client.send(call["method"], path, **self.body(call))
        assert response.status_code == status, response.text
        assert self.headers_of(response) == set(call["headers"])
        assert "X-Coder-Build-Version" not in response.headers
        if call["answer"] == "bytes":
            assert response.headers["Content-Type"] == "application/x-tar"
            assert response.content == ARCHIVE
            return
        assert response.headers["Content-Type"].startswith("application/json")
        go.decode(kind or structure(call["method"], path, status), response.content)
        if kind is None:
            assert list(self.differences(call["answer"], response.json())) == []

    def follow(self, call: dict[str, Any], path: str) -> None:
        with self.client.follow(path) as socket:
            assert socket.response.status_code == call["status"]
            messages = [go.decode(go.ProvisionerJobLog, message) for message in socket]
            sent = {name.title() for name in socket.request.headers} - {"Host", "Sec-Websocket-Key"}
        # The Go client's HTTP transport adds Accept-Encoding, this WebSocket client does not.
        assert sent == set(call["headers"]) - {"Accept-Encoding"}
        assert socket.close_code == call["close_code"]
        assert [message["id"] for message in messages] == list(range(1, len(messages) + 1))
        assert set(call["message"]) == set(messages[0])

    @staticmethod
    def headers_of(response: Any) -> set[str]:
        sent = {name.title() for name in response.request.headers}
        return sent - {"Host", "Content-Length", "Coder-Session-Token"}

    def differences(self, recorded: Any, actual: Any, path: str = "$") -> Iterator[str]:
        """Yield how a response's shape differs from the recorded one. Store its ids."""
        match recorded:
            case dict():
                if not isinstance(actual, dict):
                    yield f"{path}: not an object"
                    return
                for key, value in recorded.items():
                    if key in ABSENT and actual.get(key) is None:
                        continue
                    if key in actual:
                        yield from self.differences(value, actual[key], f"{path}.{key}")
                    else:
                        yield f"{path}.{key} is missing"
            case list():
                if not isinstance(actual, list) or (recorded and not actual):
                    yield f"{path}: {actual!r:.80}"
                elif recorded:
                    yield from self.differences(recorded[0], actual[0], f"{path}[0]")
            case str() if recorded.startswith("$"):
                if self.ids.setdefault(recorded, actual) != actual:
                    yield f"{path}: another id"
            case "null":
                pass
            case _:
                kinds = {"string": str, "integer": int, "boolean": bool, "time": str}
                matches = type(actual) is kinds[recorded] and (recorded != "time" or TIME.fullmatch(str(actual)))
                if not matches:
                    yield f"{path}: {actual!r:.80} is not of type {recorded}"


@pytest.fixture
def cli(deployment) -> Iterator[CommandLine]:
    line = CommandLine(deployment.url, deployment.token)
    yield line
    line.close()


def test_responses_match_the_recorded_session(cli):
    cli.templates_create("earlier", ARCHIVE + bytes(1024))
    replay = Replay(cli.go)
    replayed = []
    for call in SESSION:
        if any(part in call["path"] for part in SKIPPED):
            continue
        prepare(call, cli, replay)
        replay.make(call)
        replayed.append(call)
    assert len(replayed) == 33


def prepare(call: dict[str, Any], cli: CommandLine, replay: Replay) -> None:
    """Make the calls that precede this call but are not in the recording, because they repeat earlier calls."""
    unknown = {name for name in re.findall(r"\$\d+", json.dumps(call)) if name not in replay.ids}
    if "$13" in unknown:  # push a second version
        body = {"template_id": replay.ids["$12"]}
        replay.ids["$13"] = cli.import_version(replay.ids["$2"], body, ARCHIVE)["id"]
    if "$14" in unknown:  # sign in again and re-create the template
        assert cli.go.send("GET", "/users/me").status_code == 401
        cli.login_with_password(email="ada@example.test", password=PASSWORD)
        replay.ids["$14"] = cli.templates_create("cli", ARCHIVE)["active_version_id"]


def test_only_workspace_calls_are_skipped():
    skipped = [call["path"] for call in SESSION if any(part in call["path"] for part in SKIPPED)]
    assert len(skipped) == 10
    assert all("workspace" in path for path in skipped)
