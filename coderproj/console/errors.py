"""Error pages: the same dress as every page, and words of the product."""

import logging

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from coderproj.base.errors import DomainError, Forbidden, NotFound, TooLarge
from coderproj.console.session import actor_of

logger = logging.getLogger(__name__)

TITLES = {
    400: "That did not work",
    401: "Please sign in",
    403: "You may not do that",
    404: "There is nothing here",
    409: "That is taken",
    412: "Not yet",
    413: "That is too large",
    429: "Too many requests",
}
NOT_FOUND = "The address is wrong, what it named is gone, or you have no access to it."
FORBIDDEN = "You can see this, and your roles do not allow the action. Ask an administrator."
FORGED = "The form was too old, or came from another site. Open the page again and send it once more."


def error_page(request: HttpRequest, error: DomainError) -> HttpResponse:
    """The page for an error. With problems of fields, the first one is named."""
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
        "title": TITLES.get(status, "That did not work"),
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
        return error_page(request, TooLarge("What you sent is larger than this server takes."))
    return _render(request, 400, "The request was refused.")


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return error_page(request, Forbidden())


def page_not_found(request: HttpRequest, exception: Http404 | None = None) -> HttpResponse:
    return error_page(request, NotFound())


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form without a valid token. ``reason`` is for the log: it names headers of the request."""
    logger.warning("request %s refused: %s", getattr(request, "request_id", "-"), reason)
    return _render(request, 403, FORGED)


def server_error(request: HttpRequest) -> HttpResponse:
    """Without a look at the database, which may be what failed."""
    context = {"request_id": getattr(request, "request_id", "")}
    return render(request, "console/error_500.html", context, status=500)
