"""Rows of the audit log in words."""

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from coderproj.accounts.serializers.audit import VERBS
from coderproj.base.identifiers import parse_uuid
from coderproj.identity.models import AuditAction, AuditLog, Group, Organization, User

# Fields that identify the row and do not describe the change.
HIDDEN_FIELDS = frozenset({"id", "created_by_id", "template_id"})
LONGEST_VALUE = 300
# Types of objects whose names are not words.
KINDS = {"api_key": "API key", "git_ssh_key": "git SSH key"}

Names = Mapping[uuid.UUID, str]
Finder = Callable[[set[uuid.UUID]], Names]


@dataclass(frozen=True, slots=True)
class Changed:
    """A field with its values in words."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the audit log as pages tell it. ``url`` is the page of the object, empty where there is none."""

    row: AuditLog
    verb: str
    what: str
    refused: bool
    changes: list[Changed]
    url: str = ""


def _users(ids: set[uuid.UUID]) -> Names:
    return dict(User.objects.filter(pk__in=ids).values_list("pk", "username"))


def _groups(ids: set[uuid.UUID]) -> Names:
    return dict(Group.objects.filter(pk__in=ids).values_list("pk", "name"))


def _organizations(ids: set[uuid.UUID]) -> Names:
    return dict(Organization.objects.filter(pk__in=ids).values_list("pk", "name"))


# Fields whose values are ids, with who knows their names. The apps add theirs.
_finders: dict[str, Finder] = {
    "user_acl": _users,
    "user_id": _users,
    "members": _users,
    "group_acl": _groups,
    "organization_id": _organizations,
}
# What people tried where they were refused; the words for what they did are those of the API.
TRIED = {
    AuditAction.CREATE: "create",
    AuditAction.WRITE: "update",
    AuditAction.DELETE: "delete",
    AuditAction.LOGIN: "log in with",
    AuditAction.LOGOUT: "log out of",
    AuditAction.START: "start",
    AuditAction.STOP: "stop",
}
# What fields are called where their names do not say it.
_labels: dict[str, str] = {}
# The pages of objects, by the type that the audit log gives them.
_addresses: dict[str, Callable[[str], str]] = {}


def register_names(field: str, finder: Finder) -> None:
    """Have ``finder`` name what the ids in a field stand for; called once."""
    _finders[field] = finder


def register_label(field: str, label: str) -> None:
    """Call a field so; called once."""
    _labels[field] = label


def register_address(resource_type: str, address: Callable[[str], str]) -> None:
    """Have objects of a type linked to ``address(id)``; called once."""
    _addresses[resource_type] = address


def events_of(rows: Iterable[AuditLog]) -> list[Event]:
    """The rows in words; ids become names. At most one query for each kind of name."""
    listed = list(rows)
    names = _names(listed)
    return [
        Event(
            row=row,
            verb=_verb(row),
            what=KINDS.get(row.resource_type, row.resource_type.replace("_", " ")),
            refused=row.status_code >= 400,
            changes=list(_changes(row, names)),
            url=_address(row),
        )
        for row in listed
    ]


def _verb(row: AuditLog) -> str:
    action = AuditAction(row.action)
    return VERBS[action] if row.status_code < 400 else f"tried to {TRIED[action]}"


def _address(row: AuditLog) -> str:
    address = _addresses.get(row.resource_type)
    gone = row.action == AuditAction.DELETE and row.status_code < 400
    return address(row.resource_id) if address and parse_uuid(row.resource_id) and not gone else ""


def _changes(row: AuditLog, names: Mapping[str, str]) -> Iterator[Changed]:
    for field, values in row.diff.items():
        label = _labels.get(field, field.removesuffix("_id").replace("_", " "))
        if values.get("secret"):
            # That there was none, or is none any more, goes without saying.
            if values["old"] and values["new"]:
                yield Changed(label, "", "another one")
            continue
        before, after = _text(values["old"], names), _text(values["new"], names)
        if field not in HIDDEN_FIELDS and (before or after):
            yield Changed(label, before, after)


def _names(rows: Iterable[AuditLog]) -> dict[str, str]:
    """The names of what the changes speak of, by id."""
    wanted: dict[Finder, set[uuid.UUID]] = {finder: set() for finder in _finders.values()}
    for row in rows:
        for field, finder in _finders.items():
            values = row.diff.get(field, {})
            for side in ("old", "new"):
                value = values.get(side)
                texts = [value] if isinstance(value, str) else value or ()
                wanted[finder] |= {known for text in texts if (known := parse_uuid(text))}
    return {str(pk): name for finder, ids in wanted.items() for pk, name in finder(ids).items()}


def _text(value: Any, names: Mapping[str, str]) -> str:
    """A value in words, cut when it is long."""
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
