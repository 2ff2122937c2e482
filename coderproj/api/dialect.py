"""Where real clients expect other answers than the document: the one place that asks which client it is.

A request with an ``Accept`` header speaks the *documented* dialect, one without it the *sdk* dialect (only the Go SDK
and its command line send none). ``API_DIALECT`` forces one.

| point                                        | documented            | sdk                                     |
|----------------------------------------------|-----------------------|-----------------------------------------|
| POST /organizations/{o}/templates            | 200                   | 201                                     |
| GET /templates/{t}/versions/{name}           | array of one version  | the version                             |
| PATCH /templates/{t}, field absent           | keeps what is stored  | cleared: display_name, icon,            |
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


# What an absent field of PATCH /templates/{t} means in the sdk dialect, which leaves out zero values.
SDK_ABSENT_FIELDS: Mapping[str, Any] = {
    "display_name": "",
    "icon": "",
    "default_ttl_ms": 0,
    "allow_user_cancel_workspace_jobs": False,
}


def dialect_of(request: HttpRequest) -> Dialect:
    """The dialect in which to answer this request."""
    if settings.API_DIALECT != "auto":
        return Dialect(settings.API_DIALECT)
    return Dialect.DOCUMENTED if "HTTP_ACCEPT" in request.META else Dialect.SDK


def template_created_status(dialect: Dialect) -> int:
    """The status of a successful template creation."""
    return 200 if dialect is Dialect.DOCUMENTED else 201


def one_version(dialect: Dialect, array: bytes) -> bytes:
    """The body of a version asked for by template and name, of the JSON array that holds just it."""
    return array if dialect is Dialect.DOCUMENTED else array[1:-1]


def absent_template_fields(dialect: Dialect) -> Mapping[str, Any]:
    """Values for the fields that a template update leaves out; fields not named here keep what is stored."""
    return {} if dialect is Dialect.DOCUMENTED else SDK_ABSENT_FIELDS
