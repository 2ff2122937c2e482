"""Endpoints about the deployment. Public if clients call them before sign-in."""

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
# Licensed features of the original that this product has without a license. Its other features are not implemented.
SUPPORTED_FEATURES = (
    "audit_log",
    "template_rbac",
    "external_provisioner_daemons",
    "multiple_organizations",
    "user_role_management",
    "access_control",
)
UNSUPPORTED_FEATURES = (
    "user_limit",
    "browser_only",
    "scim",
    "high_availability",
    "multiple_git_auth",
    "appearance",
    "advanced_template_scheduling",
    "control_shared_ports",
)


def healthz(request: HttpRequest) -> HttpResponse:
    """Return ``OK`` while the process responds."""
    return HttpResponse("OK", content_type="text/plain; charset=utf-8")


def readyz(request: HttpRequest) -> HttpResponse:
    """Return ``OK`` while the database responds as well, else 503."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception:  # noqa: BLE001 - any error means not ready
        return HttpResponse("database unavailable", status=503, content_type="text/plain; charset=utf-8")
    return HttpResponse("OK", content_type="text/plain; charset=utf-8")


ABOUT_ENTITLEMENTS = """\
Return the features. Public, because command lines read them first and print the warnings.

Groups, access lists, the audit log, provisioner keys, organizations, roles, required versions and deprecation of
templates are always on. ``has_license`` is true because clients show those only then;
no license exists or is needed."""


class DeploymentViewSet(PublicViewSet):
    """Facts about the deployment for clients before sign-in."""

    serializer_classes = {
        "build_info": BuildInfoSerializer,
        "auth_methods": AuthMethodsSerializer,
        "entitlements": EntitlementsSerializer,
        "update_check": UpdateCheckSerializer,
        "appearance": AppearanceSerializer,
    }

    @extend_schema(operation_id="api_root", responses={200: ConfirmationSerializer})
    def root(self, request: Request) -> Response:
        """Confirm that the API is available. Public, because it reveals nothing else."""
        return self.confirm(settings.BRAND)

    @extend_schema(operation_id="build_info")
    def build_info(self, request: Request) -> Response:
        """Return version and address. Public, because clients read them before sign-in."""
        return self.respond({"external_url": EXTERNAL_URL, "version": settings.BUILD_VERSION})

    @extend_schema(operation_id="auth_methods")
    def auth_methods(self, request: Request) -> Response:
        """Return the login methods. Public, because the sign-in page reads them."""
        return self.respond({"password": True, "github": False, "oidc": False})

    @extend_schema(operation_id="entitlements", description=ABOUT_ENTITLEMENTS)
    def entitlements(self, request: Request) -> Response:
        """Return the features. Public, because command lines read them first and print the warnings."""
        features = {name: {"entitlement": "entitled", "enabled": True} for name in SUPPORTED_FEATURES}
        features |= {name: {"entitlement": "not_entitled", "enabled": False} for name in UNSUPPORTED_FEATURES}
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
        """Return the running version, because no external service is queried. Public, like ``buildinfo``."""
        return self.respond({"current": True, "version": settings.BUILD_VERSION, "url": EXTERNAL_URL})

    @extend_schema(operation_id="appearance")
    def appearance(self, request: Request) -> Response:
        """Return no logo and no banner. Public, because the dashboard reads it before sign-in."""
        return self.respond({"logo_url": "", "service_banner": {"enabled": False}})

    @extend_schema(
        operation_id="report_csp_violation", request=OpenApiTypes.OBJECT, responses={200: ConfirmationSerializer}
    )
    def report_csp_violation(self, request: Request) -> Response:
        """Accept reports of browsers about violations of the Content-Security-Policy. Public, because they have no
        token."""
        # Browsers send what they like and cannot mend it: no serializer rejects a report.
        report = request.data.get("csp-report") if isinstance(request.data, dict) else None
        if isinstance(report, dict):
            directive, blocked = (str(report.get(name))[:200] for name in ("violated-directive", "blocked-uri"))
            logger.info("content security policy: %r stopped by %r", blocked, directive)
        return self.confirm("ok")


class ParityViewSet(ApiViewSet):
    """Features of the original that this product does not have, for clients that request them."""

    serializer_classes = {"applications_host": ApplicationsHostSerializer}

    @extend_schema(
        operation_id="experiments", responses={200: serializers.ListSerializer(child=serializers.CharField())}
    )
    def experiments(self, request: Request) -> Response:
        """Return an empty list: there are no experiments."""
        return Response([])

    @extend_schema(operation_id="applications_host")
    def applications_host(self, request: Request) -> Response:
        """Return an empty host: workspace applications have no separate host."""
        return self.respond({"host": ""})

    @extend_schema(operation_id="replicas", responses={200: serializers.ListSerializer(child=serializers.DictField())})
    def replicas(self, request: Request) -> Response:
        """Return an empty list: replicas share only the database."""
        return Response([])

    @extend_schema(operation_id="licenses", responses={200: serializers.ListSerializer(child=serializers.DictField())})
    def licenses(self, request: Request) -> Response:
        """Return an empty list: there are no licenses."""
        return Response([])
