"""Error pages in the layout of all pages."""

import logging

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from coderproj.base.errors import DomainError, Forbidden, NotFound, TooLarge
from coderproj.console.session import actor_of

logger = logging.getLogger(__name__)

TITLES = {
    400: "Invalid request",
    401: "Please sign in",
    403: "Not allowed",
    404: "Page not found",
    409: "Already in use",
    412: "Not ready",
    413: "Too large",
    429: "Too many requests",
}
NOT_FOUND = "The address is wrong, the object was deleted, or you have no access to it."
FORBIDDEN = "Your roles do not allow this action. Ask an administrator."
FORGED = "The form has expired or came from another site. Reload the page and submit the form again."


def error_page(request: HttpRequest, error: DomainError) -> HttpResponse:
    """Return the page for an error. Problems of fields are listed."""
    text = error.message
    match error:
        case NotFound():
            text = NOT_FOUND
        case Forbidden() if error.message == Forbidden.message:
            text = FORBIDDEN
        case _ if error.problems:
            text = " ".join(f"{problem.field}: {problem.detail}" for problem in error.problems)
    return _render(request, error.status_code, text, error.detail)


def _render(request: HttpRequest, status: int, text: str, detail: str = "") -> HttpResponse:
    context = {
        "title": TITLES.get(status, "Invalid request"),
        "status": status,
        "text": text,
        "detail": detail,
        "frame": "console/base.html" if actor_of(request) else "console/plain.html",
        "request_id": getattr(request, "request_id", ""),
    }
    return render(request, "console/error.html", context, status=status)


# ---------------------------------------------------------------------- Django's hooks
def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return error_page(request, TooLarge("The request is larger than this server accepts."))
    return _render(request, 400, "The server rejected the request.")


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return error_page(request, Forbidden())


def page_not_found(request: HttpRequest, exception: Http404 | None = None) -> HttpResponse:
    return error_page(request, NotFound())


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Return the page for a form without a valid token. ``reason`` goes to the log only: it names headers of the
    request."""
    logger.warning("request %s rejected: %s", getattr(request, "request_id", "-"), reason)
    return _render(request, 403, FORGED)


def server_error(request: HttpRequest) -> HttpResponse:
    """Render without the database, which may have caused the error."""
    context = {"request_id": getattr(request, "request_id", "")}
    return render(request, "console/error_500.html", context, status=500)
