"""Middleware: what every answer carries, and the pages' own stack, which steps aside for the API."""

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
from whitenoise.middleware import WhiteNoiseMiddleware

from coderproj.base.envelope import INTERNAL_ERROR, envelope
from coderproj.base.json_text import JSON_CONTENT_TYPE, to_json

GetResponse = Callable[[HttpRequest], HttpResponseBase]
API_PREFIX = "/api/"


class RequestIdMiddleware:
    """Gives each request an id and puts it, with our version and the basic security headers, on each answer."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.request_id = uuid.uuid4()  # type: ignore[attr-defined]
        response = self.get_response(request)
        response["X-Coder-Request-Id"] = str(request.request_id)  # type: ignore[attr-defined]
        response["X-Coder-Build-Version"] = settings.BUILD_VERSION
        response["X-Content-Type-Options"] = "nosniff"
        return response


class ApiPathMiddleware:
    """Answers API paths with and without a trailing slash, and turns a bare 500 into the envelope.

    API requests go past the middleware behind it that is for pages only.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.get_api_response = past_pages(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(API_PREFIX):
            return self.get_response(request)
        request.path_info = request.path_info.rstrip("/")
        response = self.get_api_response(request)
        if response.status_code >= 500 and "json" not in response.get("Content-Type", ""):
            return HttpResponse(to_json(envelope(INTERNAL_ERROR)), status=500, content_type=JSON_CONTENT_TYPE)
        return response


def past_pages(get_response: GetResponse) -> GetResponse:
    """What the middleware that is for pages only would call at last: Django wraps each of them in a function."""
    while isinstance(middleware := getattr(get_response, "__wrapped__", None), (PagesOnly, WhiteNoiseMiddleware)):
        get_response = middleware.get_response  # type: ignore[union-attr]
    return get_response


class PagesOnly:
    """Mixed into a middleware class that has no business on the API's path."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(API_PREFIX):
            response: HttpResponseBase = self.get_response(request)  # type: ignore[attr-defined]
        else:
            response = super().__call__(request)  # type: ignore[misc]
        return response


class PageSecurityMiddleware(PagesOnly, SecurityMiddleware):
    pass


class PageCompressionMiddleware(PagesOnly, GZipMiddleware):
    """A list of 50 templates is a tenth of its size then. What could be guessed from lengths is masked: answers get a
    random length, and forms a new mask for their token each time."""


class PageSessionMiddleware(PagesOnly, SessionMiddleware):
    pass


class PageCommonMiddleware(PagesOnly, CommonMiddleware):
    pass


class PageCsrfMiddleware(PagesOnly, CsrfViewMiddleware):
    """API views are exempt by themselves: they check the origin of cookie-carried writes."""


class PageMessageMiddleware(PagesOnly, MessageMiddleware):
    pass


class PageClickjackingMiddleware(PagesOnly, XFrameOptionsMiddleware):
    pass


class PageHtmxMiddleware(PagesOnly, HtmxMiddleware):
    """``request.htmx`` tells whether a page is asked for a part of itself."""


class PagePolicyMiddleware(PagesOnly, CSPMiddleware):
    """The Content-Security-Policy of ``settings.CONTENT_SECURITY_POLICY``."""
