"""Rows of the audit log as pages show them."""

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from coderproj.accounts.serializers.audit import VERBS
from coderproj.base.contributions import contributions
from coderproj.base.identifiers import parse_uuid
from coderproj.identity.models import AuditAction, AuditLog

# Fields that identify the row and do not describe the change.
HIDDEN_FIELDS = frozenset({"id", "created_by_id", "template_id"})
LONGEST_VALUE = 300
# Display names of types that are not plain words.
KINDS = {"api_key": "API key", "git_ssh_key": "git SSH key"}

Names = Mapping[uuid.UUID, str]
Finder = Callable[[set[uuid.UUID]], Names]


@dataclass(frozen=True, slots=True)
class Changed:
    """A changed field with its values as text."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the audit log as pages show it. ``url`` is the page of the object, empty without one."""

    row: AuditLog
    verb: str
    what: str
    rejected: bool
    changes: list[Changed]
    url: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class AuditNames:
    """The texts for an app's entries in the audit log.

    ``finders`` have a function for each field with ids, which returns the names of these ids. ``labels`` are the labels
    of fields whose names are not words. ``addresses`` have a function for each type in the audit log, which returns the
    page of the object with an id; those of the types ``kept`` have a page after a deletion as well.
    """

    finders: Mapping[str, Finder] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()


def _audit_names() -> AuditNames:
    return _merged(contributions("audit_names"))


@cache
def _merged(declared: tuple[AuditNames, ...]) -> AuditNames:
    return AuditNames(
        finders={name: finder for names in declared for name, finder in names.finders.items()},
        labels={name: label for names in declared for name, label in names.labels.items()},
        addresses={name: address for names in declared for name, address in names.addresses.items()},
        kept=frozenset().union(*(names.kept for names in declared)),
    )


# Verbs for rejected attempts; those for events are the API's.
TRIED = {
    AuditAction.CREATE: "create",
    AuditAction.WRITE: "update",
    AuditAction.DELETE: "delete",
    AuditAction.LOGIN: "log in with",
    AuditAction.LOGOUT: "log out of",
    AuditAction.START: "start",
    AuditAction.STOP: "stop",
}


def events_of(rows: Iterable[AuditLog]) -> list[Event]:
    """Return the rows as events; IDs become names. At most one query per kind of name."""
    listed = list(rows)
    names = _names(listed)
    return [
        Event(
            row=row,
            verb=_verb(row),
            what=KINDS.get(row.resource_type, row.resource_type.replace("_", " ")),
            rejected=row.status_code >= 400,
            changes=list(_changes(row, names)),
            url=_address(row),
        )
        for row in listed
    ]


def _verb(row: AuditLog) -> str:
    action = AuditAction(row.action)
    return VERBS[action] if row.status_code < 400 else f"tried to {TRIED[action]}"


def _address(row: AuditLog) -> str:
    names = _audit_names()
    address = names.addresses.get(row.resource_type)
    deleted = row.action == AuditAction.DELETE and row.status_code < 400 and row.resource_type not in names.kept
    return address(row.resource_id) if address and parse_uuid(row.resource_id) and not deleted else ""


def _changes(row: AuditLog, names: Mapping[str, str]) -> Iterator[Changed]:
    labels = _audit_names().labels
    for name, values in row.diff.items():
        label = labels.get(name, name.removesuffix("_id").replace("_", " "))
        if values.get("secret"):
            # Only a replaced secret is worth showing.
            if values["old"] and values["new"]:
                yield Changed(label, "", "replaced")
            continue
        before, after = _text(values["old"], names), _text(values["new"], names)
        if name not in HIDDEN_FIELDS and (before or after):
            yield Changed(label, before, after)


def _names(rows: Iterable[AuditLog]) -> dict[str, str]:
    """Return the names of the objects in the changes, by ID."""
    finders = _audit_names().finders
    wanted: dict[Finder, set[uuid.UUID]] = {finder: set() for finder in finders.values()}
    for row in rows:
        for name, finder in finders.items():
            values = row.diff.get(name, {})
            for side in ("old", "new"):
                value = values.get(side)
                texts = [value] if isinstance(value, str) else value or ()
                wanted[finder] |= {known for text in texts if (known := parse_uuid(text))}
    return {str(pk): name for finder, ids in wanted.items() for pk, name in finder(ids).items()}


def _text(value: Any, names: Mapping[str, str]) -> str:
    """Return a value as text, cut if it is long."""
    if value in (None, "", {}, []):
        return ""
    match value:
        case bool():
            return "yes" if value else "no"
        case dict():
            text = ", ".join(
                sorted((f"{names.get(key, key)}: {item}" for key, item in value.items()), key=str.casefold)
            )
        case list() if all(isinstance(item, str) for item in value):
            text = ", ".join(names.get(item, item) for item in value)
        case list():
            text = json.dumps(value, ensure_ascii=False)
        case _:
            text = names.get(str(value), str(value))
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}\N{HORIZONTAL ELLIPSIS}"
