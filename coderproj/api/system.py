"""Endpoints about the deployment itself. Public where clients ask before they sign in."""

import logging
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.permissions import Public
from coderproj.api.schema import ConfirmationSerializer
from coderproj.api.views import ApiView

logger = logging.getLogger(__name__)

EXTERNAL_URL = "https://github.com/coderproj/coderproj"


class RootView(ApiView):
    """Says that the API is here. Public: it says nothing else."""

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


# What the original sells and we have, without a licence. The rest of its list is not here at all.
OURS = ("audit_log", "template_rbac")
NOT_HERE = (
    "user_limit",
    "browser_only",
    "scim",
    "high_availability",
    "multiple_git_auth",
    "external_provisioner_daemons",
    "appearance",
)


class FeatureSerializer(serializers.Serializer[Any]):
    entitlement = serializers.ChoiceField(choices=["entitled", "not_entitled"])
    enabled = serializers.BooleanField()


class EntitlementsView(ApiView):
    """Which features there are. Public: command lines ask before anything else, and print the warnings.

    Groups, access lists and the audit log are always on. ``has_license`` is true because clients show those only then;
    there is no licence and none is needed.
    """

    permission_classes = (Public,)
    authentication_classes = ()

    @extend_schema(
        operation_id="entitlements",
        responses={
            200: inline_serializer(
                "Entitlements",
                {
                    "features": serializers.DictField(child=FeatureSerializer()),
                    "warnings": serializers.ListField(child=serializers.CharField()),
                    "errors": serializers.ListField(child=serializers.CharField()),
                    "has_license": serializers.BooleanField(),
                    "trial": serializers.BooleanField(),
                    "experimental": serializers.BooleanField(),
                },
            )
        },
    )
    def get(self, request: Request) -> Response:
        features = {name: {"entitlement": "entitled", "enabled": True} for name in OURS}
        features |= {name: {"entitlement": "not_entitled", "enabled": False} for name in NOT_HERE}
        return Response(
            {
                "features": features,
                "warnings": [],
                "errors": [],
                "has_license": True,
                "trial": False,
                "experimental": False,
            }
        )


class UpdateCheckView(ApiView):
    """Nothing is looked up outside: the running version is the only one we know of. Public, like ``buildinfo``."""

    permission_classes = (Public,)
    authentication_classes = ()

    @extend_schema(
        operation_id="update_check",
        responses={
            200: inline_serializer(
                "UpdateCheck",
                {
                    "current": serializers.BooleanField(),
                    "version": serializers.CharField(),
                    "url": serializers.CharField(),
                },
            )
        },
    )
    def get(self, request: Request) -> Response:
        return Response({"current": True, "version": settings.BUILD_VERSION, "url": EXTERNAL_URL})


class BannerSerializer(serializers.Serializer[Any]):
    enabled = serializers.BooleanField()


class AppearanceView(ApiView):
    """No logo, no banner. Public: the dashboard's frame asks before anybody has signed in."""

    permission_classes = (Public,)
    authentication_classes = ()

    @extend_schema(
        operation_id="appearance",
        responses={
            200: inline_serializer(
                "Appearance",
                {"logo_url": serializers.CharField(allow_blank=True), "service_banner": BannerSerializer()},
            )
        },
    )
    def get(self, request: Request) -> Response:
        return Response({"logo_url": "", "service_banner": {"enabled": False}})


class ExperimentsView(ApiView):
    """There are none."""

    @extend_schema(
        operation_id="experiments", responses={200: serializers.ListSerializer(child=serializers.CharField())}
    )
    def get(self, request: Request) -> Response:
        return Response([])


class ApplicationsHostView(ApiView):
    """Workspace applications have no host of their own."""

    @extend_schema(
        operation_id="applications_host",
        responses={200: inline_serializer("ApplicationsHost", {"host": serializers.CharField(allow_blank=True)})},
    )
    def get(self, request: Request) -> Response:
        return Response({"host": ""})


class ReplicasView(ApiView):
    """Replicas know nothing of one another: they meet in the database."""

    @extend_schema(operation_id="replicas", responses={200: serializers.ListSerializer(child=serializers.DictField())})
    def get(self, request: Request) -> Response:
        return Response([])


class LicensesView(ApiView):
    """There are no licences."""

    @extend_schema(operation_id="licenses", responses={200: serializers.ListSerializer(child=serializers.DictField())})
    def get(self, request: Request) -> Response:
        return Response([])


class CspReportsView(ApiView):
    """Where browsers report what our content security policy stopped. Public: they send no token."""

    permission_classes = (Public,)
    authentication_classes = ()

    @extend_schema(
        operation_id="report_csp_violation",
        request=OpenApiTypes.OBJECT,
        responses={200: ConfirmationSerializer},
    )
    def post(self, request: Request) -> Response:
        report = request.data.get("csp-report") if isinstance(request.data, dict) else None
        if isinstance(report, dict):
            directive, blocked = (str(report.get(name))[:200] for name in ("violated-directive", "blocked-uri"))
            logger.info("content security policy: %r stopped by %r", blocked, directive)
        return self.answer("ok")
