"""Convert the API document to JSON: ``python -m tests.contract.extract DOCUMENT > endpoints.json``.

For each endpoint: method, path, parameters, and the schemas of its body and of its responses. A schema is one of::

    {"type": "object", "fields": {NAME: SCHEMA}}        {"type": "object", "values": SCHEMA}, for a map
    {"type": "array", "items": SCHEMA}                  {"type": "integer" | "number" | "boolean"}
    {"type": "string", "format"?: "uuid" | "date-time" | "email" | "uri", "enum"?: [TEXT]}

The document shows every response as an example, and lists also as a table. Tables name their inner schemas, so they are
read first. An example uses the schema from a table that has the same name or the same keys.
"""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

OPERATION = re.compile(r"^`(GET|POST|PUT|PATCH|DELETE) (/\S*)`$")
LINKED = re.compile(r"^(array of )?\[([\w.]+)\]")
FORMATTED = re.compile(r"^string\(([\w-]+)\)$")
ARRAY_ITEM = "[array item]"
ANY_PROPERTY = "[any property]"
SCALARS = {"string", "integer", "number", "boolean"}
SAMPLES = {
    "uuid": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "date-time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
    "email": re.compile(r"\S+@\S+"),
    "uri": re.compile(r"https?://\S+"),
}


@dataclass(slots=True)
class Section:
    """The parts of one endpoint in the document. Rows are lists of cells without padding."""

    method: str
    path: str
    parameters: list[list[str]]
    responses: list[list[str]]
    fields: list[list[str]]
    enumerated: list[list[str]]
    body: Any = None
    example: Any = None


def sections(document: str) -> list[Section]:
    """Return the sections of the endpoints in the document's order."""
    found = []
    for text in re.split(r"^## ", document, flags=re.MULTILINE)[1:]:
        lines = text.splitlines()
        operation = next(filter(None, map(OPERATION.match, lines)))
        examples = [json.loads(part) for part in re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]
        with_body = "> Body parameter" in lines
        found.append(
            Section(
                method=operation[1],
                path=operation[2],
                parameters=rows(lines, "Name", "In"),
                responses=rows(lines, "Status", "Meaning"),
                fields=rows(lines, "Name", "Type"),
                enumerated=rows(lines, "Property", "Value"),
                body=examples.pop(0) if with_body else None,
                example=examples[0] if examples else None,
            )
        )
    return found


def rows(lines: list[str], *head: str) -> list[list[str]]:
    """Return the rows of the table whose first columns have these headings."""
    found: list[list[str]] = []
    inside = False
    for line in lines:
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")] if line[:1] == "|" else []
        if cells[: len(head)] == list(head):
            inside = True
        elif inside and not cells:
            break
        elif inside and set(cells[0]) - set("- "):
            found.append(cells)
    return found


# ---------------------------------------------------------------------- schemas
class Schemas:
    """The schemas from the tables, by name."""

    def __init__(self) -> None:
        self.named: dict[str, Schema] = {}

    def read_table(self, section: Section) -> None:
        """Store the schemas of a section's table."""
        table = iter(section.fields)
        if next(table, [""])[0] != ARRAY_ITEM:
            return
        root: Schema = {"type": "object", "fields": {}}
        parents = {0: root}
        samples = {0: section.example[0]}
        enums = Enumerations(section.enumerated)
        for cells in table:
            marks, _, name = cells[0].partition(" ")
            depth, kind = len(marks), cells[1]
            parent, sample = parents[depth - 1], samples[depth - 1]
            value = next(iter(sample.values())) if name == ANY_PROPERTY else sample[name]
            schema = self._row_schema(kind, value, enums.take(name, value))
            if name == ANY_PROPERTY:
                parent.pop("fields", None)
                parent["values"] = schema
            else:
                parent["fields"][name] = schema
            inner = schema
            if schema["type"] == "array":
                value = value[0] if value else None
                inner = schema["items"]
            parents[depth], samples[depth] = inner, value
        link = LINKED.match(section.responses[0][3])
        assert link
        self.named[link[2]] = root

    def _row_schema(self, kind: str, value: Any, enum: list[str]) -> Schema:
        if enum:
            return {"type": "string", "enum": enum}
        if formatted := FORMATTED.match(kind):
            return {"type": "string", "format": formatted[1]}
        if link := LINKED.match(kind):
            return self.named.setdefault(link[2], {"type": "object", "fields": {}})
        if kind == "array":
            return {"type": "array", "items": self._row_schema("", value[0], []) if value else {}}
        if isinstance(value, dict):
            return {"type": "object", "fields": {}}
        return {"type": kind} if kind in SCALARS else sample_schema(value)

    def example_schema(self, value: Any, name: str = "") -> Schema:
        """Return the schema of an example, or the schema ``name`` if a table describes it."""
        if name in self.named:
            return self.named[name]
        if isinstance(value, list):
            return {"type": "array", "items": self.example_schema(value[0])}
        if not isinstance(value, dict):
            return sample_schema(value)
        if set(value) == {"property1", "property2"}:
            return {"type": "object", "values": self.example_schema(value["property1"])}
        for known in self.named.values():
            if set(known.get("fields", ())) == set(value):
                return known
        return {"type": "object", "fields": {key: self.example_schema(item) for key, item in value.items()}}


class Enumerations:
    """The enumerated values of a section.

    The values of fields with the same name follow each other. The example of a field is its first value, which shows
    where its values begin.
    """

    def __init__(self, table: list[list[str]]) -> None:
        self.values: dict[str, list[str]] = {}
        self.last: dict[str, list[str]] = {}
        for name, value in table:
            self.values.setdefault(name, []).append(value)

    def take(self, name: str, sample: Any) -> list[str]:
        """Return the values of the next field with this name, or []. Call it in the order of the fields."""
        values = self.values.get(name, [])
        if not isinstance(sample, str) or sample not in values:
            return []
        found = values[values.index(sample) :]
        if name in self.last:
            del self.last[name][-len(found) :]
        self.last[name] = found
        return found


def sample_schema(value: Any) -> Schema:
    """Return the schema of an example's value that is neither an object nor an array."""
    match value:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case float():
            return {"type": "number"}
    for name, pattern in SAMPLES.items():
        if pattern.fullmatch(value):
            return {"type": "string", "format": name}
    return {"type": "string"}


# ---------------------------------------------------------------------- endpoints
def extract(document: str) -> list[dict[str, Any]]:
    """Return every endpoint of the document, in its order."""
    found = sections(document)
    schemas = Schemas()
    for section in found:
        schemas.read_table(section)
    return [
        {
            "method": section.method,
            "path": section.path,
            "parameters": [
                {"name": name, "in": place, "type": kind, "required": required == "true"}
                for name, place, kind, required, *_ in section.parameters
                if place != "body"
            ],
            "body": None if section.body is None else schemas.example_schema(section.body),
            "responses": [
                {"status": int(status), "schema": _response(schemas, kind, section.example)}
                for status, _, _, kind in section.responses
            ],
        }
        for section in found
    ]


def _response(schemas: Schemas, kind: str, example: Any) -> Schema:
    link = LINKED.match(kind)
    assert link
    if link[1]:
        return {"type": "array", "items": schemas.example_schema(example[0], link[2])}
    return schemas.example_schema(example, link[2])


if __name__ == "__main__":
    json.dump(extract(Path(sys.argv[1]).read_text()), sys.stdout, indent=1)
    sys.stdout.write("\n")
