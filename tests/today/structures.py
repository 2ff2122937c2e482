"""The structures of the Go SDK of 2025, where they have more than those of ``tests.contract.golang``, by route.

An enumeration accepts only its values: the SDK decodes any text, but clients compare it.
"""

import re
from typing import Any

from tests.contract import golang as go
from tests.contract.golang import (
    DecodeError,
    Kind,
    boolean,
    int32,
    int64,
    map_,
    pointer,
    slice_,
    string,
    struct,
    time,
    uuid_,
)


def enum(*values: str) -> Kind:
    """Return a kind for texts that are one of ``values``."""

    def kind(value: Any, path: str) -> str:
        text = string(value, path)
        if value is not None and text not in values:
            raise DecodeError(f"{path}: {text!r:.80} is not one of {', '.join(map(repr, values))}")
        return text

    return kind


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Days = slice_(enum(*WEEKDAYS))
LOGIN_TYPES = ("password", "none", "github", "oidc", "token")
JOB_STATUSES = ("pending", "running", "succeeded", "canceling", "canceled", "failed", "unknown")

Feature = struct(
    entitlement=enum("entitled", "grace_period", "not_entitled"),
    enabled=boolean,
    limit=pointer(int64),
    actual=pointer(int64),
)
Entitlements = struct(
    features=map_(Feature),
    warnings=slice_(string),
    errors=slice_(string),
    has_license=boolean,
    trial=boolean,
)

USER: dict[str, Kind] = {
    **go.USER,
    "name": string,
    "status": enum("active", "dormant", "suspended"),
    "login_type": enum(*LOGIN_TYPES),
    "updated_at": time,
}
User = struct(USER)
UsersPage = struct(users=slice_(User), count=int64)
Organization = struct(
    id=uuid_,
    name=string,
    display_name=string,
    icon=string,
    description=string,
    created_at=time,
    updated_at=time,
    is_default=boolean,
)
Member = struct(
    user_id=uuid_,
    organization_id=uuid_,
    created_at=time,
    updated_at=time,
    roles=slice_(struct(name=string, display_name=string, organization_id=string)),
    username=string,
    name=string,
    avatar_url=string,
    email=string,
)
GROUP: dict[str, Kind] = {
    **go.GROUP,
    "display_name": string,
    "members": slice_(User),
    "quota_allowance": int64,
    "source": enum("user", "oidc"),
    "total_member_count": int64,
    "organization_name": string,
    "organization_display_name": string,
}
Group = struct(GROUP)
AccessList = struct(
    users=slice_(struct(USER, role=enum("admin", "use"))), group=slice_(struct(GROUP, role=enum("admin", "use")))
)
Token = struct(
    id=string,
    user_id=uuid_,
    last_used=time,
    expires_at=time,
    created_at=time,
    updated_at=time,
    login_type=enum(*LOGIN_TYPES),
    scope=enum("all", "application_connect"),
    token_name=string,
    lifetime_seconds=int64,
    username=string,
)

Template = struct(
    id=uuid_,
    created_at=time,
    updated_at=time,
    organization_id=uuid_,
    organization_name=string,
    organization_display_name=string,
    organization_icon=string,
    name=string,
    display_name=string,
    provisioner=enum("terraform", "echo"),
    active_version_id=uuid_,
    active_user_count=int64,
    build_time_stats=map_(go.TransitionStats),
    description=string,
    deprecated=boolean,
    deprecation_message=string,
    icon=string,
    default_ttl_ms=int64,
    activity_bump_ms=int64,
    autostop_requirement=struct(days_of_week=Days, weeks=int64),
    autostart_requirement=struct(days_of_week=Days),
    created_by_id=uuid_,
    created_by_name=string,
    allow_user_autostart=boolean,
    allow_user_autostop=boolean,
    allow_user_cancel_workspace_jobs=boolean,
    failure_ttl_ms=int64,
    time_til_dormant_ms=int64,
    time_til_dormant_autodelete_ms=int64,
    require_active_version=boolean,
    max_port_share_level=enum("owner", "authenticated", "organization", "public"),
    cors_behavior=enum("simple", "passthru"),
    use_classic_parameter_flow=boolean,
)
Job = struct(
    id=uuid_,
    created_at=time,
    started_at=pointer(time),
    completed_at=pointer(time),
    canceled_at=pointer(time),
    error=string,
    error_code=string,
    status=enum(*JOB_STATUSES),
    worker_id=pointer(uuid_),
    worker_name=string,
    file_id=uuid_,
    tags=map_(string),
    queue_position=int64,
    queue_size=int64,
    organization_id=uuid_,
    initiator_id=uuid_,
    input=struct(template_version_id=pointer(uuid_), workspace_build_id=pointer(uuid_), error=string),
    type=string,
    available_workers=slice_(uuid_),
    metadata=struct(
        template_version_name=string,
        template_id=uuid_,
        template_name=string,
        template_display_name=string,
        template_icon=string,
        workspace_id=pointer(uuid_),
        workspace_name=string,
    ),
)
Version = struct(
    id=uuid_,
    template_id=pointer(uuid_),
    organization_id=pointer(uuid_),
    created_at=time,
    updated_at=time,
    name=string,
    message=string,
    job=Job,
    readme=string,
    created_by=User,
    archived=boolean,
    warnings=slice_(string),
    matched_provisioners=pointer(struct(count=int64, available=int64, most_recently_seen=pointer(time))),
)
Archived = struct(template_id=uuid_, archived_ids=slice_(uuid_))
Preset = struct(
    ID=uuid_,
    Name=string,
    Parameters=slice_(struct(Name=string, Value=string)),
    Default=boolean,
    Description=string,
    Icon=string,
    DesiredPrebuildInstances=pointer(int32),
)

# By the path of GET requests; a POST, PUT or PATCH that is not in CHANGED has the structure of its path as well.
ROUTES: dict[str, Kind] = {
    r"/users/first": go.Response,
    r"/users(\?.*)": UsersPage,
    r"/users/[^/]+(/profile|/roles|/status/\w+)?|/users": User,
    r"/users/me/organizations": slice_(Organization),
    r"/users/[^/]+/keys/tokens/tokenconfig": struct(max_token_lifetime=int64),
    r"/users/[^/]+/keys/tokens(\?.*)?": slice_(Token),
    r"/organizations(/[^/]+)?": Organization,
    r"/organizations/[^/]+/groups(/[^/]+)?|/groups/[^/?]+": Group,
    r"/groups(\?.*)?": slice_(Group),
    r"/organizations/[^/]+/members/": slice_(Member),
    r"/organizations/[^/]+/members/[^/]+": Member,
    r"/organizations/[^/]+/templates(/[^/]+)?|/templates/[^/?]+": Template,
    r"/templates\?.*": slice_(Template),
    r"/templates/[^/]+/acl": AccessList,
    r"/templates/[^/]+/versions(\?.*)?": slice_(Version),
    r"/organizations/[^/]+/templateversions|/templateversions/[^/]+": Version,
    r"/templateversions/[^/]+/resources": slice_(go.WorkspaceResource),
    r"/templateversions/[^/]+/presets": slice_(Preset),
    r"/organizations/[^/]+/provisionerjobs\?.*": slice_(Job),
    r"/organizations/[^/]+/provisionerjobs/[^/]+": Job,
    r"/entitlements": Entitlements,
    r"/files": go.Upload,
}
CHANGED: dict[str, Kind] = {
    r"POST /users/[^/]+/keys/tokens": go.NewKey,
    r"PATCH /templates/[^/]+/(acl|versions)": go.Response,
    r"POST /templates/[^/]+/versions/archive": Archived,
    r"PATCH /templateversions/[^/]+/cancel": go.Response,
    r"DELETE .*": go.Response,
}


def structure(method: str, path: str, status: int) -> Kind:
    """Return the structure into which the SDK decodes the response."""
    if status >= 400:
        return go.Response
    for pattern, kind in CHANGED.items():
        if re.fullmatch(pattern, f"{method} {path}"):
            return kind
    return next(kind for pattern, kind in ROUTES.items() if re.fullmatch(pattern, path))
