"""Dialects: differences between the documented API and the API that real clients expect. No other module depends on
the client.

A request with an ``Accept`` header gets the *documented* dialect, one without it the *sdk* dialect (only the Go SDK and
its command line send none). ``API_DIALECT`` forces a dialect.

| point                                        | documented            | sdk                                     |
|----------------------------------------------|-----------------------|-----------------------------------------|
| POST /organizations/{o}/templates            | 200                   | 201                                     |
| GET /templates/{t}/versions/{name}           | array of one version  | the version                             |
| PATCH /templates/{t}, field absent           | keeps stored value    | cleared: display_name, icon,            |
|                                              |                       | default_ttl_ms,                         |
|                                              |                       | allow_user_cancel_workspace_jobs;       |
|                                              |                       | the newer SDK: see LATER_ABSENT_FIELDS  |
| header X-Coder-Build-Version                 | on each response      | absent                                  |

Two generations of the SDK update templates. The older one omits all zero values. The newer one sends names, description
and icon as pointers, so an absent one keeps the stored value and an empty description is meant; it still omits zero
numbers and false, also those of the fields that the older one does not know. Only the newer one sends
``LATER_SDK_FIELDS``.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.http import HttpRequest


class Dialect(StrEnum):
    DOCUMENTED = "documented"
    SDK = "sdk"


# Values of absent fields of PATCH /templates/{t} in the sdk dialect, whose clients omit zero values.
SDK_ABSENT_FIELDS: Mapping[str, Any] = {
    "display_name": "",
    "icon": "",
    "default_ttl_ms": 0,
    "allow_user_cancel_workspace_jobs": False,
}
# The same for the newer SDK, in fields that the older one does not know: there an absent field keeps the stored value.
LATER_ABSENT_FIELDS: Mapping[str, Any] = {
    "activity_bump_ms": 0,
    "allow_user_autostart": False,
    "allow_user_autostop": False,
    "failure_ttl_ms": 0,
    "time_til_dormant_ms": 0,
    "time_til_dormant_autodelete_ms": 0,
    "require_active_version": False,
}
# The fields of PATCH /templates/{t} that the newer SDK sends with every update, and no documented client does.
LATER_SDK_FIELDS = frozenset(
    {"update_workspace_last_used_at", "update_workspace_dormant_at", "disable_everyone_group_access"}
)
# The fields among SDK_ABSENT_FIELDS that the newer SDK sends whenever it means to change them.
POINTERS = frozenset({"display_name", "icon"})


def dialect_of(request: HttpRequest) -> Dialect:
    """Return the dialect for the response to this request."""
    if settings.API_DIALECT != "auto":
        return Dialect(settings.API_DIALECT)
    return Dialect.DOCUMENTED if "HTTP_ACCEPT" in request.META else Dialect.SDK


def template_created_status(dialect: Dialect) -> int:
    """Return the status of a successful template creation."""
    return 200 if dialect is Dialect.DOCUMENTED else 201


def one_version(dialect: Dialect, array: bytes) -> bytes:
    """Return the body for a version requested by template and name, from a JSON array that contains only that
    version."""
    return array if dialect is Dialect.DOCUMENTED else array[1:-1]


def absent_template_fields(dialect: Dialect, sent: Collection[str]) -> Mapping[str, Any]:
    """Return values for the absent fields of a template update with the fields ``sent``. Other absent fields keep the
    stored value."""
    if dialect is Dialect.DOCUMENTED:
        return {}
    if LATER_SDK_FIELDS.isdisjoint(sent):
        return SDK_ABSENT_FIELDS
    zeros = {name: value for name, value in SDK_ABSENT_FIELDS.items() if name not in POINTERS}
    names = {name.lower() for name in sent}  # null is sent by clients that know the field, and means: not given
    return {name: value for name, value in {**zeros, **LATER_ABSENT_FIELDS}.items() if name not in names}


def kept_if_empty(sent: Collection[str]) -> Collection[str]:
    """Return the fields of a template update whose stored value stays if the sent text is empty."""
    return {"name", "description"} if LATER_SDK_FIELDS.isdisjoint(sent) else {"name"}


def shows_version(request: HttpRequest) -> bool:
    """Return True if the response has the header with our version. The SDK's command line warns at each call if that
    differs from its own version; it reads ours from ``/buildinfo``."""
    return dialect_of(request) is Dialect.DOCUMENTED
