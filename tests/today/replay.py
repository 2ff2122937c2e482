"""Makes the calls of ``session.jsonl`` and says which of them satisfy their client.

The recording has each distinct call once, with the answer that satisfied the client. A call is as expected if

- its status is the recorded one, and its body decodes into the SDK's structure;
- its body has each key of the recorded answer, with a value of the same JSON type;
- what was written comes back as written, in this and in later answers: the provider reports anything else as an
  inconsistent result, or plans the same change again;
- the features that the command needs are enabled.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from websockets.exceptions import WebSocketException

from tests.contract import golang as go
from tests.contract.clients import GoClient
from tests.contract.described import NotDescribedError
from tests.today.structures import structure

SESSION = Path(__file__).parents[1] / "data" / "today" / "session.jsonl"
UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
NIL = "00000000-0000-0000-0000-000000000000"
ELIDED = "\u2026"
# What the recording has for secrets.
HIDDEN = "***"
PASSWORD = "correct horse battery"
# Fields of a created template that have another name in the answer.
OTHER_NAMES = {
    "dormant_ttl_ms": "time_til_dormant_ms",
    "delete_ttl_ms": "time_til_dormant_autodelete_ms",
    "template_use_classic_parameter_flow": "use_classic_parameter_flow",
}
# What PATCH /templates/{t} of the SDK of 2025 means by leaving a field out: zero.
ZEROS = {
    "activity_bump_ms": 0,
    "allow_user_autostart": False,
    "allow_user_autostop": False,
    "allow_user_cancel_workspace_jobs": False,
    "default_ttl_ms": 0,
    "failure_ttl_ms": 0,
    "require_active_version": False,
    "time_til_dormant_ms": 0,
    "time_til_dormant_autodelete_ms": 0,
}
# Commands whose import waits for a daemon that nobody runs: their log has no end.
WAITING = {"push unmatched"}
# Keys of the recorded answers that can be absent: they depend on the moment.
OPTIONAL = {"started_at", "completed_at", "worker_id", "template_id"}
# The features that a command reads before it sends what they gate, by a part of its name.
FEATURES = {
    "edit --require-active-version": {"access_control"},
    "edit --": {"advanced_template_scheduling"},
    "tmpl": {"access_control", "advanced_template_scheduling", "control_shared_ports", "template_rbac"},
    "group": {"template_rbac"},
    "org": {"multiple_organizations"},
}


# The outcomes of the replay in this process, for ``python -m tests.today``.
LAST_RUN: "list[Outcome]" = []


@dataclass(frozen=True)
class Call:
    """A recorded call."""

    number: int
    command: str
    method: str
    path: str
    status: int
    answer: Any
    values: dict[str, Any] | None = None

    def __str__(self) -> str:
        return f"{self.number} {self.method} {self.path}"


@dataclass(frozen=True)
class Outcome:
    """What became of a call: ``problems`` is empty if it was as expected."""

    call: Call
    problems: tuple[str, ...]


def recorded() -> list[Call]:
    """Return the calls in their order."""
    rows = map(json.loads, SESSION.read_text().splitlines())
    return [Call(number, **row) for number, row in enumerate(rows)]


class Replay:
    """Replays calls. ``ids`` has the server's ids by those of the recording; ``archive`` replaces recorded uploads,
    ``asking`` that of a template with a variable that needs a value."""

    def __init__(self, client: GoClient, archive: bytes, asking: bytes) -> None:
        self.client = client
        self.archive = archive
        self.asking = asking
        self.ids: dict[str, str] = {}
        # By id of an object: what was written to it.
        self.written: dict[str, dict[str, Any]] = {}

    def fill(self, value: Any) -> Any:
        """Return a recorded value with the server's ids."""
        return json.loads(UUID.sub(lambda match: self.ids.get(match[0], match[0]), json.dumps(value)))

    def make(self, call: Call) -> Outcome:
        """Make a call. Whatever a server can answer becomes a problem of the outcome."""
        try:
            problems = tuple(self._problems(call))
        except (NotDescribedError, go.DecodeError, httpx.HTTPError, WebSocketException) as error:
            problems = (str(error),)
        return Outcome(call, problems)

    def _problems(self, call: Call) -> Iterator[str]:
        path = self.fill(call.path)
        if call.answer == "<websocket>":
            yield from self._follow(path.removesuffix("?follow"), to_the_end=call.command not in WAITING)
            return
        response = self.client.send(call.method, path, **self._options(call))
        if response.status_code != call.status:
            yield f"status {response.status_code}, not {call.status}: {response.text[:200]}"
            return
        if "X-Coder-Build-Version" in response.headers:
            yield "a header that makes the command line warn"
        if isinstance(call.answer, str) and "application/zip" in call.answer:
            if response.headers["Content-Type"] != "application/zip" or not response.content.startswith(b"PK"):
                yield f"{response.headers['Content-Type']} instead of a zip file"
            return
        if call.status == 204:
            if response.content:
                yield "a body that the client does not expect"
            return
        try:
            go.decode(structure(call.method, call.path, call.status), response.content)
        except go.DecodeError as error:
            yield str(error)
        if call.status >= 400 or call.answer == ELIDED:
            return
        answer = response.json()
        yield from self._differences(call.answer, answer)
        if call.path == "/entitlements":
            yield from self._missing_features(call, answer)
        if call.method in {"POST", "PUT", "PATCH"} and isinstance(answer, dict) and "id" in answer:
            self._remember(call, answer["id"])
        yield from self._lost(answer)

    def _options(self, call: Call) -> dict[str, Any]:
        """Return body and headers. The scripted engine replaces Terraform."""
        headers = {} if call.command.startswith("tf") else {"Coder-CLI-Telemetry": "e30="}
        if call.path == "/files":
            content = self.asking if call.command == "push var" else self.archive
            return {"content": content, "headers": {**headers, "Content-Type": "application/x-tar"}}
        if call.values is None:
            return {"headers": headers}
        body = self.fill(call.values)
        if body.get("provisioner") == "terraform":
            body["provisioner"] = "echo"
        if "password" in body:
            body["password"] = PASSWORD
        return {"json": body, "headers": headers}

    def _follow(self, path: str, *, to_the_end: bool) -> Iterator[str]:
        with self.client.follow(path) as socket:
            if not to_the_end:
                return
            for number, message in enumerate(socket, start=1):
                if go.decode(go.ProvisionerJobLog, message)["id"] != number:
                    yield f"the line {number} is missing"

    def _differences(self, expected: Any, actual: Any, path: str = "$") -> Iterator[str]:
        """Yield how an answer's shape differs from the recorded one. Learn its ids."""
        if isinstance(expected, dict) and isinstance(actual, dict):
            for key, value in expected.items():
                if key in {"features", "tags"}:  # other names are as good
                    continue
                if key in actual:
                    yield from self._differences(value, actual[key], f"{path}.{key}")
                elif key not in OPTIONAL:
                    yield f"{path}.{key} is missing"
        elif isinstance(expected, list) and isinstance(actual, list):
            yield from self._listed(expected, actual, path)
        elif isinstance(expected, str) and UUID.fullmatch(expected):
            if not isinstance(actual, str) or not UUID.fullmatch(actual):
                yield f"{path}: {actual!r:.80} is not an id"
            elif self.ids.setdefault(expected, actual) != actual and expected != NIL:
                yield f"{path}: another object"
        elif expected is not None and type(expected) is not type(actual):
            yield f"{path}: {actual!r:.80} instead of {expected!r:.80}"

    def _listed(self, expected: list[Any], actual: list[Any], path: str) -> Iterator[str]:
        """Compare each recorded item with its counterpart: by id or name where items have them."""
        for index, item in enumerate(expected):
            if not isinstance(item, dict):
                continue
            found = next((row for row in actual if self._is_counterpart(item, row)), None)
            if found is not None:
                yield from self._differences(item, found, f"{path}[{index}]")
            elif actual:
                shape = {key: value for key, value in item.items() if not isinstance(value, str | dict | list)}
                yield from self._differences(shape, actual[0], f"{path}[{index}]")
        if expected and not actual:
            yield f"{path} is empty"

    def _is_counterpart(self, item: dict[str, Any], row: dict[str, Any]) -> bool:
        key = next((name for name in ("username", "name") if item.get(name)), "")
        return row.get("id") == self.ids.get(item.get("id", ""), "") or bool(key and row.get(key) == item[key])

    def _missing_features(self, call: Call, answer: dict[str, Any]) -> Iterator[str]:
        needed = next((names for part, names in FEATURES.items() if part in call.command), set())
        for name in sorted(needed):
            feature = answer["features"].get(name)
            if feature != {"entitlement": "entitled", "enabled": True}:
                yield f"the feature {name} is not enabled"

    def _remember(self, call: Call, object_id: str) -> None:
        """Store what a write sent, by the names of the answer."""
        sent = self.fill(call.values or {})
        values = {OTHER_NAMES.get(name, name): value for name, value in sent.items()}
        if re.fullmatch(r"/templates/[^/]+", call.path) and "disable_everyone_group_access" in values:
            values = ZEROS | values
        if "/groups/" in call.path or not values.get("name", True):
            values = {name: value for name, value in values.items() if value != ""}  # an empty text keeps the value
        kept = {
            name: value
            for name, value in values.items()
            if name in (call.answer or {}) and value is not None and name not in {"status", "roles"}
        }
        self.written.setdefault(object_id, {}).update(kept)

    def _lost(self, answer: Any) -> Iterator[str]:
        """Yield what was written and does not come back."""
        if isinstance(answer, list):
            for item in answer:
                yield from self._lost(item)
        elif isinstance(answer, dict):
            for name, value in self.written.get(str(answer.get("id")), {}).items():
                if _ordered(answer.get(name)) != _ordered(value) and name != "provisioner":
                    yield f"{name} is {answer.get(name)!r:.80}, written as {value!r:.80}"
            for value in answer.values():
                if isinstance(value, dict | list):
                    yield from self._lost(value)


def _ordered(value: Any) -> Any:
    """Return a value with the days of a requirement as a set: their order has no meaning."""
    if isinstance(value, dict) and "days_of_week" in value:
        return {**value, "days_of_week": set(value["days_of_week"])}
    return value


def table(outcomes: list[Outcome]) -> Iterator[str]:
    """Yield the lines of a table: command, calls, and how many of them were as expected."""
    commands: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        commands.setdefault(outcome.call.command, []).append(outcome)
    width = max(map(len, commands))
    yield f"{'command':{width}}  calls  as expected"
    for command, calls in commands.items():
        yield f"{command:{width}}  {len(calls):5}  {sum(not call.problems for call in calls):11}"
    yield f"{'all':{width}}  {len(outcomes):5}  {sum(not outcome.problems for outcome in outcomes):11}"
