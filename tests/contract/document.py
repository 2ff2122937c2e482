"""The endpoints of the API document, and the comparison of a response with them."""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

DATA = Path(__file__).parents[1] / "data" / "contract"
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", re.ASCII)
FORMATS = {
    "uuid": lambda text: str(uuid.UUID(text)) == text,
    "date-time": lambda text: bool(TIME.fullmatch(text) and datetime.fromisoformat(text)),
    "email": lambda text: bool(re.fullmatch(r"\S+@\S+", text)),
    "uri": lambda text: bool(re.fullmatch(r"https?://\S+|/\S*", text)),
}


@dataclass(frozen=True)
class Endpoint:
    """One documented endpoint: the schema of its success and its path and query parameters."""

    method: str
    path: str
    parameters: tuple[dict[str, Any], ...]
    body: Schema | None
    status: int
    schema: Schema

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def url(self, **values: str) -> str:
        """Return the path below the API's root with its parameters filled in."""
        return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], self.path)

    @property
    def path_names(self) -> tuple[str, ...]:
        return tuple(re.findall(r"\{(\w+)\}", self.path))


@cache
def endpoints() -> tuple[Endpoint, ...]:
    """Return all documented endpoints in the document's order."""
    return tuple(
        Endpoint(
            method=row["method"],
            path=row["path"],
            parameters=tuple(row["parameters"]),
            body=row["body"],
            status=row["responses"][0]["status"],
            schema=row["responses"][0]["schema"],
        )
        for row in json.loads((DATA / "endpoints.json").read_text())
    )


@cache
def endpoint(name: str) -> Endpoint:
    """Return the endpoint with the name ``METHOD /path``."""
    return next(row for row in endpoints() if str(row) == name)


def mismatches(schema: Schema, value: Any, path: str = "") -> Iterator[str]:
    """Yield how a value differs from its schema. Ignores absent and null fields: see ``fields_with_value``."""
    kind = schema.get("type", "")
    if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        yield f"{path or '$'}: {value!r:.60} is not of type {kind}"
        return
    if kind == "array":
        for item in value:
            yield from mismatches(schema["items"], item, f"{path}[]")
    elif "values" in schema:
        for item in value.values():
            yield from mismatches(schema["values"], item, f"{path}{{}}")
    elif kind == "object":
        for name, inner in schema["fields"].items():
            if value.get(name) is not None:
                yield from mismatches(inner, value[name], f"{path}.{name}")
    elif kind == "string":
        yield from _text_mismatches(schema, value, path)


def _text_mismatches(schema: Schema, text: str, path: str) -> Iterator[str]:
    if "enum" in schema and text not in schema["enum"]:
        yield f"{path}: {text!r} is not one of {schema['enum']}"
    format_ = schema.get("format", "")
    # A missing id or time is left out or null; a missing address is "".
    if format_ and not (format_ == "uri" and text == ""):
        try:
            fits = FORMATS[format_](text)
        except ValueError:
            fits = False
        if not fits:
            yield f"{path}: {text!r} is not a valid {format_}"


def documented_fields(schema: Schema, path: str = "") -> Iterator[str]:
    """Yield the paths of all fields in a schema, such as ``[].job.tags{}``."""
    if path:
        yield path
    for name, inner in schema.get("fields", {}).items():
        yield from documented_fields(inner, f"{path}.{name}")
    if "items" in schema:
        yield from documented_fields(schema["items"], f"{path}[]")
    if "values" in schema:
        yield from documented_fields(schema["values"], f"{path}{{}}")


def fields_with_value(schema: Schema, value: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of ``documented_fields`` that are present in the value and not null."""
    if path:
        yield path
    if "items" in schema and isinstance(value, list):
        for item in value:
            yield from fields_with_value(schema["items"], item, f"{path}[]")
    elif isinstance(value, dict):
        for name, inner in schema.get("fields", {}).items():
            if value.get(name) is not None:
                yield from fields_with_value(inner, value[name], f"{path}.{name}")
        for item in value.values() if "values" in schema else ():
            yield from fields_with_value(schema["values"], item, f"{path}{{}}")
