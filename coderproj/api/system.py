"""Endpoints about the deployment itself. Public where clients ask before they sign in."""

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.permissions import Public
from coderproj.api.schema import ConfirmationSerializer
from coderproj.api.views import ApiView

EXTERNAL_URL = "https://github.com/coderproj/coderproj"


class RootView(ApiView):
    """Says that the API is here."""

    permission_classes = (Public,)
    authentication_classes = ()

    @extend_schema(operation_id="api_root", responses={200: ConfirmationSerializer})
    def get(self, request: Request) -> Response:
        return self.answer(settings.BRAND)


class BuildInfoView(ApiView):
    """Version and address. Public: every client asks before it signs in."""

    permission_classes = (Public,)
    authentication_classes = ()

    @extend_schema(
        operation_id="build_info",
        responses={
            200: inline_serializer(
                "BuildInfo", {"external_url": serializers.CharField(), "version": serializers.CharField()}
            )
        },
    )
    def get(self, request: Request) -> Response:
        return Response({"external_url": EXTERNAL_URL, "version": settings.BUILD_VERSION})


def healthz(request: HttpRequest) -> HttpResponse:
    """``OK`` while the process answers."""
    return HttpResponse("OK", content_type="text/plain; charset=utf-8")


def readyz(request: HttpRequest) -> HttpResponse:
    """``OK`` while the database answers as well, else 503."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception:  # noqa: BLE001 - whatever it is, we are not ready
        return HttpResponse("database unavailable", status=503, content_type="text/plain; charset=utf-8")
    return HttpResponse("OK", content_type="text/plain; charset=utf-8")


class AuthMethodsView(ApiView):
    """How one may sign in. Public: the sign-in page asks."""

    permission_classes = (Public,)
    authentication_classes = ()

    @extend_schema(
        operation_id="auth_methods",
        responses={
            200: inline_serializer(
                "AuthMethods",
                {
                    "password": serializers.BooleanField(),
                    "github": serializers.BooleanField(),
                    "oidc": serializers.BooleanField(),
                },
            )
        },
    )
    def get(self, request: Request) -> Response:
        return Response({"password": True, "github": False, "oidc": False})
