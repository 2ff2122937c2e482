"""The table of the documented endpoints: the documented response, the actual response, and differences of the dialects.

``pytest -s tests/contract/test_document.py -k table`` prints the table for the responses of a live server.
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
from tests.contract.scenario import RecordedResponse

HEAD = ("endpoint", "documented", "actual", "dialects")
# Fields that cannot have a value in a response, by the start of the field's path, and the reason.
AGENTS_NEVER_CONNECT = "agents of imports and dry runs never connect, so their latency is not measured"
ONLY_A_MESSAGE = "a success has only a message"
NOT_STARTED = "a job that was just queued has neither started nor ended"
NOT_FAILED = "only a failed job has an error, and the import of this version succeeded"
WITHOUT_VALUE: Mapping[str, Mapping[str, str]] = {
    "POST /organizations/{organization}/groups": {".members[]": "a new group has no members"},
    "GET /organizations/{organization}/templateversions/{templateversionname}/previous": {".job.error": NOT_FAILED},
    "GET /templates/{template}/daus": {".entries[]": "the workspaces of the scenario have no traffic"},
    **{
        name: dict.fromkeys((".detail", ".validations"), ONLY_A_MESSAGE)
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
    """The row of one endpoint. ``problems`` is empty when all responses are as documented."""

    endpoint: Endpoint
    documented: str
    actual: str
    dialects: str
    problems: tuple[str, ...]

    @property
    def cells(self) -> tuple[str, str, str, str]:
        verdict = "as documented" if not self.problems else f"{len(self.problems)} problems: {self.problems[0]}"
        return str(self.endpoint), self.documented, f"{self.actual}, {verdict}", self.dialects


def rows(
    documented: Mapping[str, Sequence[RecordedResponse]], sdk: Mapping[str, Sequence[RecordedResponse]]
) -> list[Row]:
    """Return a row for each documented endpoint, from the responses with and without an Accept header."""
    return [_row(row, documented.get(str(row), ()), sdk.get(str(row), ())) for row in endpoints()]


def _row(endpoint: Endpoint, documented: Sequence[RecordedResponse], sdk: Sequence[RecordedResponse]) -> Row:
    actual = sorted({f"{response.status} {shape(response.body)}" for response in documented})
    return Row(
        endpoint=endpoint,
        documented=f"{endpoint.status} {shape_of(endpoint.schema)}",
        actual=" / ".join(actual) or "no response",
        dialects=dialects(documented, sdk),
        problems=tuple(problems(endpoint, documented)),
    )


def problems(endpoint: Endpoint, responses: Sequence[RecordedResponse]) -> list[str]:
    """Return how the responses differ from the document; [] if they do not."""
    if not responses:
        return ["no response"]
    found = {f"status {response.status}" for response in responses if response.status != endpoint.status}
    for response in responses:
        found.update(mismatches(endpoint.schema, response.body))
        if not response.headers["Content-Type"].startswith("application/json"):
            found.add(f"Content-Type {response.headers['Content-Type']}")
    seen = {path for response in responses for path in fields_with_value(endpoint.schema, response.body)}
    excluded = tuple(WITHOUT_VALUE.get(str(endpoint), ()))
    found.update(
        f"{path} never has a value"
        for path in documented_fields(endpoint.schema)
        if path not in seen and not path.startswith(excluded)
    )
    return sorted(found)


def dialects(documented: Sequence[RecordedResponse], sdk: Sequence[RecordedResponse]) -> str:
    """Return ``same``, or the responses that an SDK gets instead of the documented ones."""
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
    """Return the table as text: a head, and a line for each endpoint."""
    cells = [HEAD, *(row.cells for row in table)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join(lines)
