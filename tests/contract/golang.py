"""A decoder like Go's ``encoding/json`` for the structures of the Go SDK. A wrong type fails.

Unknown keys are ignored and keys match in any case; ``null`` and missing fields become the zero value. A kind is a
function from (value, path) to the decoded value; it raises DecodeError. Objects arrive as lists of pairs, because the
order and the spelling of keys matter when two keys match one field.
"""

import json
import re
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

Kind = Callable[[Any, str], Any]

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class DecodeError(Exception):
    """Go would not decode the value. The message has the path to it."""


class Pairs(list[tuple[str, Any]]):
    """A JSON object as its members in order."""


class Fraction(float):
    """A number written with a fraction or an exponent, which Go does not decode into an integer."""


def decode(kind: Kind, raw: bytes | str) -> Any:
    """Return the value of one JSON document. Raises DecodeError when a type is wrong or the text is not JSON."""
    try:
        value = json.loads(raw, object_pairs_hook=Pairs, parse_float=Fraction)
    except ValueError as error:
        raise DecodeError(f"not JSON: {error}") from None
    return kind(value, "$")


def _wrong_type(path: str, value: Any, expected: str) -> DecodeError:
    return DecodeError(f"{path}: {str(value)[:80]!r} is not of type {expected}")


# ---------------------------------------------------------------------- kinds
def string(value: Any, path: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong_type(path, value, "string")
    return value


def boolean(value: Any, path: str) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise _wrong_type(path, value, "bool")
    return value


def integer(name: str, smallest: int, largest: int) -> Kind:
    """Return a kind for integers from ``smallest`` to ``largest``, written without a fraction."""

    def kind(value: Any, path: str) -> int:
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int) or not smallest <= value <= largest:
            raise _wrong_type(path, value, name)
        return value

    return kind


int32 = integer("int32", -(2**31), 2**31 - 1)
int64 = integer("int64", -(2**63), 2**63 - 1)
uint32 = integer("uint32", 0, 2**32 - 1)


def float64(value: Any, path: str) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(path, value, "float64")
    return float(value)


def time(value: Any, path: str) -> str:
    """Return an RFC 3339 time with a zone as it is written."""
    if value is None:
        return "0001-01-01T00:00:00Z"
    if not isinstance(value, str) or not TIME.fullmatch(value):
        raise _wrong_type(path, value, "time")
    try:
        datetime.fromisoformat(value[:19])
    except ValueError:
        raise _wrong_type(path, value, "time") from None
    return value


def uuid_(value: Any, path: str) -> str:
    if value is None:
        return str(uuid.UUID(int=0))
    if not isinstance(value, str) or not UUID.fullmatch(value):
        raise _wrong_type(path, value, "uuid")
    return value


def pointer(kind: Kind) -> Kind:
    """Return a kind that decodes ``null`` and missing values to None."""
    return lambda value, path: None if value is None else kind(value, path)


def slice_(kind: Kind) -> Kind:
    """Return a kind for lists. ``null`` is an empty list."""

    def decode_slice(value: Any, path: str) -> list[Any]:
        if value is None:
            return []
        if isinstance(value, Pairs) or not isinstance(value, list):
            raise _wrong_type(path, value, "array")
        return [kind(item, f"{path}[{index}]") for index, item in enumerate(value)]

    return decode_slice


def map_(kind: Kind) -> Kind:
    """Return a kind for values by name. ``null`` is an empty map."""

    def decode_map(value: Any, path: str) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, Pairs):
            raise _wrong_type(path, value, "object")
        return {key: kind(item, f"{path}.{key}") for key, item in value}

    return decode_map


def struct(*embedded: dict[str, Kind], **fields: Kind) -> Kind:
    """Return a kind for objects with these fields. The decoded dictionary has all of them."""
    kinds = {key: kind for part in (*embedded, fields) for key, kind in part.items()}
    names = {key.lower(): key for key in kinds}

    def decode_struct(value: Any, path: str) -> dict[str, Any]:
        if value is not None and not isinstance(value, Pairs):
            raise _wrong_type(path, value, "object")
        decoded = {key: kind(None, path) for key, kind in kinds.items()}
        for key, item in value or ():
            name = names.get(key.lower())
            if name is not None:
                decoded[name] = kinds[name](item, f"{path}.{key}")
        return decoded

    return decode_struct


# ---------------------------------------------------------------------- structures
Response = struct(message=string, detail=string, validations=slice_(struct(field=string, detail=string)))
BuildInfo = struct(external_url=string, version=string)
Feature = struct(entitlement=string, enabled=boolean, limit=pointer(int64), actual=pointer(int64))
Entitlements = struct(
    features=map_(Feature),
    warnings=slice_(string),
    errors=slice_(string),
    has_license=boolean,
    experimental=boolean,
    trial=boolean,
)

Role = struct(name=string, display_name=string)
USER: dict[str, Kind] = {
    "id": uuid_,
    "username": string,
    "email": string,
    "created_at": time,
    "last_seen_at": time,
    "status": string,
    "organization_ids": slice_(uuid_),
    "roles": slice_(Role),
    "avatar_url": string,
}
User = struct(USER)
UsersPage = struct(users=slice_(User), count=int64)
Organization = struct(id=uuid_, name=string, created_at=time, updated_at=time)
GROUP: dict[str, Kind] = {
    "id": uuid_,
    "name": string,
    "organization_id": uuid_,
    "members": slice_(User),
    "avatar_url": string,
    "quota_allowance": int64,
}
Group = struct(GROUP)
TemplateACL = struct(users=slice_(struct(USER, role=string)), group=slice_(struct(GROUP, role=string)))
FirstUser = struct(user_id=uuid_, organization_id=uuid_)
Login = struct(session_token=string)
NewKey = struct(key=string)
APIKey = struct(
    id=string,
    user_id=uuid_,
    last_used=time,
    expires_at=time,
    created_at=time,
    updated_at=time,
    login_type=string,
    scope=string,
    lifetime_seconds=int64,
)
Upload = struct(hash=uuid_)

TransitionStats = struct(P50=pointer(int64), P95=pointer(int64))
Template = struct(
    id=uuid_,
    created_at=time,
    updated_at=time,
    organization_id=uuid_,
    name=string,
    display_name=string,
    provisioner=string,
    active_version_id=uuid_,
    workspace_owner_count=uint32,
    active_user_count=int64,
    build_time_stats=map_(TransitionStats),
    description=string,
    icon=string,
    default_ttl_ms=int64,
    created_by_id=uuid_,
    created_by_name=string,
    allow_user_cancel_workspace_jobs=boolean,
)
TemplateExample = struct(
    id=string, url=string, name=string, description=string, icon=string, tags=slice_(string), markdown=string
)
TemplateDAUs = struct(entries=slice_(struct(date=time, amount=int64)))
ProvisionerJob = struct(
    id=uuid_,
    created_at=time,
    started_at=pointer(time),
    completed_at=pointer(time),
    canceled_at=pointer(time),
    error=string,
    status=string,
    worker_id=pointer(uuid_),
    file_id=uuid_,
    tags=map_(string),
)
TemplateVersion = struct(
    id=uuid_,
    template_id=pointer(uuid_),
    organization_id=uuid_,
    created_at=time,
    updated_at=time,
    name=string,
    job=ProvisionerJob,
    readme=string,
    created_by=User,
)
ProvisionerJobLog = struct(id=int64, created_at=time, log_source=string, log_level=string, stage=string, output=string)

WorkspaceApp = struct(
    id=uuid_,
    url=string,
    external=boolean,
    slug=string,
    display_name=string,
    command=string,
    icon=string,
    subdomain=boolean,
    sharing_level=string,
    healthcheck=struct(url=string, interval=int32, threshold=int32),
    health=string,
)
WorkspaceAgent = struct(
    id=uuid_,
    created_at=time,
    updated_at=time,
    first_connected_at=pointer(time),
    last_connected_at=pointer(time),
    disconnected_at=pointer(time),
    status=string,
    lifecycle_state=string,
    name=string,
    resource_id=uuid_,
    instance_id=string,
    architecture=string,
    environment_variables=map_(string),
    operating_system=string,
    startup_script=string,
    directory=string,
    version=string,
    apps=slice_(WorkspaceApp),
    latency=map_(struct(preferred=boolean, latency_ms=float64)),
    connection_timeout_seconds=int32,
    troubleshooting_url=string,
    login_before_ready=boolean,
    startup_script_timeout_seconds=int32,
)
WorkspaceResource = struct(
    id=uuid_,
    created_at=time,
    job_id=uuid_,
    workspace_transition=string,
    type=string,
    name=string,
    hide=boolean,
    icon=string,
    agents=slice_(WorkspaceAgent),
    metadata=slice_(struct(key=string, value=string, sensitive=boolean)),
    daily_cost=int32,
)

ParameterSchema = struct(
    id=uuid_,
    created_at=time,
    job_id=uuid_,
    name=string,
    description=string,
    default_source_scheme=string,
    default_source_value=string,
    allow_override_source=boolean,
    default_destination_scheme=string,
    allow_override_destination=boolean,
    default_refresh=string,
    redisplay_value=boolean,
    validation_error=string,
    validation_condition=string,
    validation_type_system=string,
    validation_value_type=string,
    validation_contains=slice_(string),
)
PARAMETER: dict[str, Kind] = {
    "id": uuid_,
    "scope": string,
    "scope_id": uuid_,
    "name": string,
    "source_scheme": string,
    "destination_scheme": string,
    "created_at": time,
    "updated_at": time,
}
Parameter = struct(PARAMETER)
ComputedParameter = struct(PARAMETER, source_value=string, schema_id=uuid_, default_source_value=boolean)
TemplateVersionParameter = struct(
    name=string,
    description=string,
    type=string,
    mutable=boolean,
    default_value=string,
    icon=string,
    options=slice_(struct(name=string, description=string, value=string, icon=string)),
    validation_error=string,
    validation_regex=string,
    validation_min=int32,
    validation_max=int32,
)

WorkspaceBuild = struct(
    id=uuid_,
    created_at=time,
    updated_at=time,
    workspace_id=uuid_,
    workspace_name=string,
    workspace_owner_id=uuid_,
    workspace_owner_name=string,
    template_version_id=uuid_,
    template_version_name=string,
    build_number=int32,
    transition=string,
    initiator_id=uuid_,
    initiator_name=string,
    job=ProvisionerJob,
    reason=string,
    resources=slice_(WorkspaceResource),
    deadline=pointer(time),
    status=string,
    daily_cost=int32,
)
Workspace = struct(
    id=uuid_,
    created_at=time,
    updated_at=time,
    owner_id=uuid_,
    owner_name=string,
    template_id=uuid_,
    template_name=string,
    template_display_name=string,
    template_icon=string,
    template_allow_user_cancel_workspace_jobs=boolean,
    latest_build=WorkspaceBuild,
    outdated=boolean,
    name=string,
    autostart_schedule=pointer(string),
    ttl_ms=pointer(int64),
    last_used_at=time,
)
WorkspacesPage = struct(workspaces=slice_(Workspace), count=int64)
BuildParameter = struct(name=string, value=string)
