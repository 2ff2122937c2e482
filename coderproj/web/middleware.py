"""Middleware: headers of every response, API paths, and the middleware of pages, which API requests skip."""

import uuid
from collections.abc import Callable

from csp.middleware import CSPMiddleware
from django.conf import settings
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.gzip import GZipMiddleware
from django.middleware.security import SecurityMiddleware
from django_htmx.middleware import HtmxMiddleware

from coderproj.base.dialect import shows_version
from coderproj.base.envelope import INTERNAL_ERROR, envelope
from coderproj.base.json_text import JSON_CONTENT_TYPE, to_json

GetResponse = Callable[[HttpRequest], HttpResponseBase]
API_PREFIX = "/api/"


class RequestIdMiddleware:
    """Give each request an id, and send it with the version and a basic security header on each response."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.request_id = uuid.uuid4()  # type: ignore[attr-defined]
        response = self.get_response(request)
        add_common_headers(response, request)
        return response


def add_common_headers(response: HttpResponseBase, request: HttpRequest) -> None:
    """Add the headers of every response, and the version for clients that expect it."""
    response["X-Coder-Request-Id"] = str(request.request_id)  # type: ignore[attr-defined]
    if shows_version(request):
        response["X-Coder-Build-Version"] = settings.BUILD_VERSION
    response["X-Content-Type-Options"] = "nosniff"


class ApiPathMiddleware:
    """Accept API paths with a trailing slash, and turn a bare 500 into the error envelope."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(API_PREFIX):
            return self.get_response(request)
        request.path_info = request.path_info.rstrip("/")
        response = self.get_response(request)
        if response.status_code >= 500 and "json" not in response.get("Content-Type", ""):
            return HttpResponse(to_json(envelope(INTERNAL_ERROR)), status=500, content_type=JSON_CONTENT_TYPE)
        return response


class PagesOnly:
    """Mixin for middleware classes that skip API requests."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith(API_PREFIX):  # ``path_info`` has lost its trailing slash
            response: HttpResponseBase = self.get_response(request)  # type: ignore[attr-defined]
        else:
            response = super().__call__(request)  # type: ignore[misc]
        return response


class PageSecurityMiddleware(PagesOnly, SecurityMiddleware):
    pass


class PageCompressionMiddleware(PagesOnly, GZipMiddleware):
    """Compress pages: a list of 50 templates shrinks to a tenth.

    Lengths do not reveal secrets (BREACH): Django adds a random length to each response, and a new mask to each CSRF
    token.
    """


class PageSessionMiddleware(PagesOnly, SessionMiddleware):
    pass


class PageCommonMiddleware(PagesOnly, CommonMiddleware):
    pass


class PageCsrfMiddleware(PagesOnly, CsrfViewMiddleware):
    """API views are exempt: they check the origin of writes that a cookie authenticates."""


class PageMessageMiddleware(PagesOnly, MessageMiddleware):
    pass


class PageClickjackingMiddleware(PagesOnly, XFrameOptionsMiddleware):
    pass


class PageHtmxMiddleware(PagesOnly, HtmxMiddleware):
    """Set ``request.htmx``, which is true if htmx requests a part of a page."""


class PagePolicyMiddleware(PagesOnly, CSPMiddleware):
    """Send the Content-Security-Policy of ``settings.CONTENT_SECURITY_POLICY``."""
