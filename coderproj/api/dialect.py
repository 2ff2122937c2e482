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
|                                              |                       | allow_user_cancel_workspace_jobs        |
"""

from collections.abc import Mapping
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


def absent_template_fields(dialect: Dialect) -> Mapping[str, Any]:
    """Return values for the absent fields of a template update. Other absent fields keep the stored value."""
    return {} if dialect is Dialect.DOCUMENTED else SDK_ABSENT_FIELDS
