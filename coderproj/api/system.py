"""Endpoints about the deployment itself. Public where clients ask before they sign in."""

import logging

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.schema import ConfirmationSerializer
from coderproj.api.system_serializers import (
    AppearanceSerializer,
    ApplicationsHostSerializer,
    AuthMethodsSerializer,
    BuildInfoSerializer,
    EntitlementsSerializer,
    UpdateCheckSerializer,
)
from coderproj.api.viewsets import ApiViewSet, PublicViewSet

logger = logging.getLogger(__name__)

EXTERNAL_URL = "https://github.com/coderproj/coderproj"
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


ABOUT_ENTITLEMENTS = """\
Which features there are. Public: command lines ask before anything else, and print the warnings.

Groups, access lists and the audit log are always on. ``has_license`` is true because clients show those only then;
there is no licence and none is needed."""


class DeploymentViewSet(PublicViewSet):
    """What clients ask of a deployment before they sign in."""

    serializer_classes = {
        "build_info": BuildInfoSerializer,
        "auth_methods": AuthMethodsSerializer,
        "entitlements": EntitlementsSerializer,
        "update_check": UpdateCheckSerializer,
        "appearance": AppearanceSerializer,
    }

    @extend_schema(operation_id="api_root", responses={200: ConfirmationSerializer})
    def root(self, request: Request) -> Response:
        """Says that the API is here. Public: it says nothing else."""
        return self.confirm(settings.BRAND)

    @extend_schema(operation_id="build_info")
    def build_info(self, request: Request) -> Response:
        """Version and address. Public: every client asks before it signs in."""
        return self.respond({"external_url": EXTERNAL_URL, "version": settings.BUILD_VERSION})

    @extend_schema(operation_id="auth_methods")
    def auth_methods(self, request: Request) -> Response:
        """How one may sign in. Public: the sign-in page asks."""
        return self.respond({"password": True, "github": False, "oidc": False})

    @extend_schema(operation_id="entitlements", description=ABOUT_ENTITLEMENTS)
    def entitlements(self, request: Request) -> Response:
        """Which features there are. Public: command lines ask before anything else, and print the warnings."""
        features = {name: {"entitlement": "entitled", "enabled": True} for name in OURS}
        features |= {name: {"entitlement": "not_entitled", "enabled": False} for name in NOT_HERE}
        return self.respond(
            {
                "features": features,
                "warnings": [],
                "errors": [],
                "has_license": True,
                "trial": False,
                "experimental": False,
            }
        )

    @extend_schema(operation_id="update_check")
    def update_check(self, request: Request) -> Response:
        """Nothing is looked up outside: the running version is the only one we know of. Public, like ``buildinfo``."""
        return self.respond({"current": True, "version": settings.BUILD_VERSION, "url": EXTERNAL_URL})

    @extend_schema(operation_id="appearance")
    def appearance(self, request: Request) -> Response:
        """No logo, no banner. Public: the dashboard's frame asks before anybody has signed in."""
        return self.respond({"logo_url": "", "service_banner": {"enabled": False}})

    @extend_schema(
        operation_id="report_csp_violation", request=OpenApiTypes.OBJECT, responses={200: ConfirmationSerializer}
    )
    def report_csp_violation(self, request: Request) -> Response:
        """Where browsers report what our content security policy stopped. Public: they send no token."""
        report = request.data.get("csp-report") if isinstance(request.data, dict) else None
        if isinstance(report, dict):
            directive, blocked = (str(report.get(name))[:200] for name in ("violated-directive", "blocked-uri"))
            logger.info("content security policy: %r stopped by %r", blocked, directive)
        return self.confirm("ok")


class ParityViewSet(ApiViewSet):
    """Parts of the original that this product does not have, for clients that ask for them."""

    serializer_classes = {"applications_host": ApplicationsHostSerializer}

    @extend_schema(
        operation_id="experiments", responses={200: serializers.ListSerializer(child=serializers.CharField())}
    )
    def experiments(self, request: Request) -> Response:
        """There are none."""
        return Response([])

    @extend_schema(operation_id="applications_host")
    def applications_host(self, request: Request) -> Response:
        """Workspace applications have no host of their own."""
        return self.respond({"host": ""})

    @extend_schema(operation_id="replicas", responses={200: serializers.ListSerializer(child=serializers.DictField())})
    def replicas(self, request: Request) -> Response:
        """Replicas know nothing of one another: they meet in the database."""
        return Response([])

    @extend_schema(operation_id="licenses", responses={200: serializers.ListSerializer(child=serializers.DictField())})
    def licenses(self, request: Request) -> Response:
        """There are no licences."""
        return Response([])
