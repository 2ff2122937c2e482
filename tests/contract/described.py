"""Compares responses with the OpenAPI document: their path, method, status and body must be described."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

from tests.api import ApiClient

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.yaml"
ERROR = {"$ref": "#/components/schemas/Error"}
# An operation whose response is an array of one item, and in the sdk dialect that item (docs/api.md).
ONE_ITEM = ("/api/v2/templates/{template}/versions/{templateversionname}", "GET", 200)
# Responses without a body of their own: not modified, and the switch to a WebSocket.
EMPTY = frozenset({101, 304})


class NotDescribedError(AssertionError):
    """A response differs from the OpenAPI document."""


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document with its schemas as JSON Schema."""
    return as_json_schema(yaml.load(DOCUMENT.read_text(), yaml.CSafeLoader))


def as_json_schema(value: Any) -> Any:
    """Convert OpenAPI 3.0, where ``nullable`` stands beside the schema that null does not match."""
    if isinstance(value, list):
        return [as_json_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: as_json_schema(item) for name, item in value.items()}
    if found.pop("nullable", False) is True:
        return {"anyOf": [found, {"type": "null"}]}
    return found


@cache
def paths() -> list[tuple[re.Pattern[str], str]]:
    """Return a pattern for each described path, those with the fewest parameters first."""
    rows = [(re.compile(re.sub(r"{\w+}", "[^/]+", path)), path) for path in document()["paths"]]
    return sorted(rows, key=lambda row: row[1].count("{"))


def paths_match(path: str, described: str) -> bool:
    """Return True if the path of a request is that of the document."""
    return next((name for pattern, name in paths() if pattern.fullmatch(path)), "") == described


@cache
def validator(path: str, method: str, status: int) -> jsonschema_rs.Draft202012Validator | None:
    """Return the validator of a JSON response; None if the document describes no JSON there. Errors have the envelope.

    Raises NotDescribedError for a success that the document does not describe.
    """
    described = document()["paths"].get(path, {}).get(method.lower(), {}).get("responses", {}).get(str(status))
    if status >= 400:
        schema: Any = ERROR
    elif described is None:
        raise NotDescribedError(f"{method} {path} has a response {status}, which the document does not describe.")
    else:
        content = described.get("content", {}).get("application/json")
        if content is None:
            return None
        schema = content["schema"]
    return jsonschema_rs.Draft202012Validator({**schema, "components": document()["components"]}, validate_formats=True)


def check(method: str, path: str, status: int, content_type: str, body: bytes, *, sdk: bool = False) -> None:
    """Compare a response of the API with the document, which describes the documented dialect. ``path`` begins with
    ``/api/v2``; ``sdk`` is for requests in the sdk dialect. Raises NotDescribedError."""
    plain = path.partition("?")[0].rstrip("/")
    if status in EMPTY or method not in {"GET", "POST", "PUT", "PATCH", "DELETE"}:
        return
    if sdk and body.startswith(b"{") and paths_match(plain, ONE_ITEM[0]) and (method, status) == ONE_ITEM[1:]:
        body = b"[%b]" % body
    named = next((name for pattern, name in paths() if pattern.fullmatch(plain)), plain)
    if plain.startswith("/api/v2") and plain not in {"/api/v2", "/api/v2/openapi.json"}:
        compare(f"{method} {named} ({status})", validator(named, method, status), content_type, body)


def compare(what: str, rules: jsonschema_rs.Draft202012Validator | None, content_type: str, body: bytes) -> None:
    """Compare a body with its schema. Raises NotDescribedError, which names the first wrong member."""
    if not content_type.startswith("application/json"):
        if rules is not None and not body.startswith((b"event:", b"data:", b"id:", b":")):
            raise NotDescribedError(f"{what}: the document describes JSON, not {content_type or 'an empty body'}.")
        return
    if rules is None:
        raise NotDescribedError(f"{what}: the document describes no JSON.")
    # An empty body is null: the state of a workspace without one has no bytes.
    error = next(rules.iter_errors(json.loads(body) if body else None), None)
    if error is not None:
        member = "".join(f"[{step!r}]" for step in error.instance_path)
        raise NotDescribedError(f"{what}: $%s: {error.message:.300}" % member)


class DescribedApiClient(ApiClient):
    """An ApiClient whose responses are compared with the document."""

    def call(self, method: str, path: str, *arguments: Any, **options: Any) -> Any:
        response = super().call(method, path, *arguments, **options)
        check(method, f"/api/v2/{path}", response.status_code, response.headers.get("Content-Type", ""), response.raw)
        return response
