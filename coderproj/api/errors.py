"""Maps exceptions to API errors in the envelope of ``base.envelope``."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest
from rest_framework import exceptions
from rest_framework.response import Response

from coderproj.base.envelope import INTERNAL_ERROR, envelope
from coderproj.base.errors import DomainError, Forbidden, Invalid, NotFound, Problem, SignInRequired, TooLarge

logger = logging.getLogger(__name__)

ROUTE_NOT_FOUND = "Route not found."
INVALID_JSON = "Request body must be valid JSON."
CHALLENGE = "Coder-Session-Token"
# Messages of serializers can quote the whole value, so they are truncated to this many characters.
MAX_QUOTED = 256


def domain_error(exception: Exception) -> DomainError:
    """Return the DomainError for an exception. An unknown exception becomes a 500 without its message."""
    match exception:
        case DomainError():
            return exception
        case Http404():
            return NotFound()
        case PermissionDenied() | exceptions.PermissionDenied():
            return Forbidden()
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return SignInRequired(
                detail="The session token is missing. Send it in the header Coder-Session-Token or as a cookie."
            )
        case exceptions.ParseError():
            return DomainError(INVALID_JSON, detail=str(exception.detail))
        case exceptions.ValidationError():
            return Invalid(problems=tuple(problems(exception.detail)))
        case RequestDataTooBig():
            return TooLarge()
        case SuspiciousOperation():
            return DomainError("The request was rejected.")
        case exceptions.APIException():
            error = DomainError(str(exception.detail))
            error.status_code = exception.status_code
            return error
    error = DomainError(INTERNAL_ERROR)
    error.status_code = 500
    return error


def problems(detail: Any, field: str = "") -> Iterator[Problem]:
    """Flatten the errors of a serializer into one problem per invalid field: ``parameter_values[1].name``."""
    if isinstance(detail, Mapping):
        for key, value in detail.items():
            if key == "non_field_errors":
                inner = field
            elif isinstance(key, int):
                inner = f"{field}[{key}]"
            else:
                inner = f"{field}.{key}" if field else str(key)
            yield from problems(value, inner)
    elif isinstance(detail, list) and any(isinstance(item, Mapping | list) for item in detail):
        for index, item in enumerate(detail):
            if item:
                yield from problems(item, f"{field}[{index}]")
    else:
        first = detail[0] if isinstance(detail, list) and detail else detail
        yield Problem(field[:MAX_QUOTED] or "body", str(first)[:MAX_QUOTED])


def exception_handler(exception: Exception, context: Mapping[str, Any]) -> Response:
    """Return the response for an exception (EXCEPTION_HANDLER of Django REST framework)."""
    error = domain_error(exception)
    if error.status_code >= 500:
        request: HttpRequest | None = context.get("request")
        logger.error("request %s failed", getattr(request, "request_id", "-"), exc_info=exception)
    response = Response(envelope(error.message, error.detail, error.problems), status=error.status_code)
    if error.status_code == 401:
        response["WWW-Authenticate"] = CHALLENGE
    wait = getattr(exception, "wait", None)
    if error.status_code == 429 and wait:
        response["Retry-After"] = str(int(wait) + 1)
    return response
