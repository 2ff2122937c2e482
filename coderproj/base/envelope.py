"""The body of every API error: ``{"message": …, "detail": …, "validations": [{"field": …, "detail": …}]}``.

``detail`` and ``validations`` are left out when they are empty.
"""

from typing import Any

from coderproj.base.errors import Problem

INTERNAL_ERROR = "An internal error occurred. The X-Coder-Request-Id header has the request id to look for in the log."


def envelope(message: str, detail: str = "", problems: tuple[Problem, ...] = ()) -> dict[str, Any]:
    """Return the body of an error, or of a response that only confirms."""
    body: dict[str, Any] = {"message": message}
    if detail:
        body["detail"] = detail
    if problems:
        body["validations"] = [{"field": problem.field, "detail": problem.detail} for problem in problems]
    return body
