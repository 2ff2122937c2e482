"""Middleware: what every answer carries, and the pages' own stack, which steps aside for the API."""

import uuid
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.security import SecurityMiddleware

from coderproj.api.errors import INTERNAL, envelope
from coderproj.api.renderers import JSON_CONTENT_TYPE, to_json

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
    """Answers API paths with and without a trailing slash, and turns a bare 500 into the envelope."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(API_PREFIX):
            return self.get_response(request)
        request.path_info = request.path_info.rstrip("/")
        response = self.get_response(request)
        if response.status_code >= 500 and "json" not in response.get("Content-Type", ""):
            return HttpResponse(to_json(envelope(INTERNAL)), status=500, content_type=JSON_CONTENT_TYPE)
        return response


class PagesOnly:
    """Mixed into a middleware class that has no business on the API's path."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(API_PREFIX):
            return self.get_response(request)  # type: ignore[attr-defined]
        return super().__call__(request)  # type: ignore[misc]


class PageSecurityMiddleware(PagesOnly, SecurityMiddleware):
    pass


class PageSessionMiddleware(PagesOnly, SessionMiddleware):
    pass


class PageCommonMiddleware(PagesOnly, CommonMiddleware):
    pass


class PageCsrfMiddleware(PagesOnly, CsrfViewMiddleware):
    """API views are exempt by themselves: they check the origin of cookie-carried writes."""


class PageAuthenticationMiddleware(PagesOnly, AuthenticationMiddleware):
    pass


class PageMessageMiddleware(PagesOnly, MessageMiddleware):
    pass


class PageClickjackingMiddleware(PagesOnly, XFrameOptionsMiddleware):
    pass
