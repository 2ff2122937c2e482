"""The body of every error of the API: ``{"message": …, "detail": …, "validations": [{"field": …, "detail": …}]}``.

``detail`` and ``validations`` are left out when they are empty.
"""

from typing import Any

from coderproj.base.errors import Problem

INTERNAL = "An internal error occurred. The request id in the X-Coder-Request-Id header finds it in the log."


def envelope(message: str, detail: str = "", problems: tuple[Problem, ...] = ()) -> dict[str, Any]:
    """Return the body of an error, or of an answer that only confirms."""
    body: dict[str, Any] = {"message": message}
    if detail:
        body["detail"] = detail
    if problems:
        body["validations"] = [{"field": problem.field, "detail": problem.detail} for problem in problems]
    return body
