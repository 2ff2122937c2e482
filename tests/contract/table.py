"""The table of documented endpoints: documented response, our response, and differences of the dialects.

``pytest -s tests/contract/test_document.py -k table`` prints it from responses of a live server.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.contract.document import (
    Endpoint,
    Schema,
    documented_fields,
    endpoints,
    fields_with_value,
    mismatches,
)
from tests.contract.scenario import Answer

HEAD = ("endpoint", "documented", "ours", "dialects")
# Fields that never have a value, by the start of their path, with the reason.
AGENTS_NEVER_CONNECT = "agents of imports and dry runs never connect, so nobody measures their latency"
SUCCESS_SAYS_ONLY = "a success has a message alone"
NOT_STARTED = "a job that was just queued has neither started nor ended"
NOT_FAILED = "only a failed job has an error, and the one asked for is of a good version"
WITHOUT_VALUE: Mapping[str, Mapping[str, str]] = {
    "POST /organizations/{organization}/groups": {".members[]": "a new group has no members"},
    "GET /organizations/{organization}/templateversions/{templateversionname}/previous": {".job.error": NOT_FAILED},
    "GET /templates/{template}/daus": {".entries[]": "nobody uses templates before there are workspaces"},
    **{
        name: dict.fromkeys((".detail", ".validations"), SUCCESS_SAYS_ONLY)
        for name in (
            "DELETE /templates/{template}",
            "PATCH /templates/{template}/versions",
            "PATCH /templateversions/{templateversion}/cancel",
            "PATCH /templateversions/{templateversion}/dry-run/{jobID}/cancel",
        )
    },
    **{
        name: {
            f"{job}.{field}": NOT_STARTED
            for field in ("started_at", "completed_at", "canceled_at", "worker_id", "error")
        }
        for name, job in (
            ("POST /organizations/{organization}/templateversions", ".job"),
            ("POST /templateversions/{templateversion}/dry-run", ""),
        )
    },
    **{
        f"GET /templateversions/{{templateversion}}/{name}": {"[].agents[].latency": AGENTS_NEVER_CONNECT}
        for name in ("resources", "dry-run/{jobID}/resources")
    },
}


@dataclass(frozen=True)
class Row:
    """One endpoint. ``problems`` is empty if the responses are as documented."""

    endpoint: Endpoint
    documented: str
    ours: str
    dialects: str
    problems: tuple[str, ...]

    @property
    def cells(self) -> tuple[str, str, str, str]:
        verdict = "as documented" if not self.problems else f"{len(self.problems)} problems: {self.problems[0]}"
        return str(self.endpoint), self.documented, f"{self.ours}, {verdict}", self.dialects


def rows(documented: Mapping[str, Sequence[Answer]], sdk: Mapping[str, Sequence[Answer]]) -> list[Row]:
    """Return a row for each documented endpoint, from the responses with and without an Accept header."""
    return [_row(row, documented.get(str(row), ()), sdk.get(str(row), ())) for row in endpoints()]


def _row(endpoint: Endpoint, documented: Sequence[Answer], sdk: Sequence[Answer]) -> Row:
    ours = sorted({f"{answer.status} {shape(answer.body)}" for answer in documented})
    return Row(
        endpoint=endpoint,
        documented=f"{endpoint.status} {shape_of(endpoint.schema)}",
        ours=" / ".join(ours) or "no answer",
        dialects=dialects(documented, sdk),
        problems=tuple(problems(endpoint, documented)),
    )


def problems(endpoint: Endpoint, answers: Sequence[Answer]) -> list[str]:
    """Return the differences of the responses from the document."""
    if not answers:
        return ["no answer"]
    found = {f"status {answer.status}" for answer in answers if answer.status != endpoint.status}
    for answer in answers:
        found.update(mismatches(endpoint.schema, answer.body))
        if not answer.headers["Content-Type"].startswith("application/json"):
            found.add(f"Content-Type {answer.headers['Content-Type']}")
    seen = {path for answer in answers for path in fields_with_value(endpoint.schema, answer.body)}
    excused = tuple(WITHOUT_VALUE.get(str(endpoint), ()))
    found.update(
        f"{path} never has a value"
        for path in documented_fields(endpoint.schema)
        if path not in seen and not path.startswith(excused)
    )
    return sorted(found)


def dialects(documented: Sequence[Answer], sdk: Sequence[Answer]) -> str:
    """Return ``same``, or the response of the sdk dialect that differs from the document."""
    differences = []
    for one, other in zip(documented, sdk, strict=False):
        if (one.status, shape(one.body)) != (other.status, shape(other.body)):
            differences.append(f"sdk: {other.status} {shape(other.body)}")
        elif isinstance(one.body, dict) and "display_name" in one.body:
            cleared = [name for name in one.body if one.body[name] and not other.body[name]]
            if cleared:
                differences.append(f"sdk: an absent field clears {', '.join(cleared)}")
    return " / ".join(dict.fromkeys(differences)) or "same"


def shape(value: Any) -> str:
    return "array" if isinstance(value, list) else "object"


def shape_of(schema: Schema) -> str:
    return schema["type"]


def text(table: Sequence[Row]) -> str:
    """Return the table as text in columns, with a header line."""
    cells = [HEAD, *(row.cells for row in table)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join(lines)
