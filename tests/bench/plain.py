"""The same reads as in a plain Django REST framework application: ORM authentication, serializers, JSONRenderer.

They are served together with the product's routes, only for comparison.
"""

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework import generics, serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.identity.actor import Actor
from coderproj.identity.models import ApiKey
from coderproj.urls import urlpatterns as product
from provisioning.models import ProvisionerJobLog, WorkspaceResource
from provisioning.serializers.jobs import ResourceSerializer
from templates_app.models import Template, TemplateVersion
from templates_app.serializers.templates import TemplateSerializer, TemplateVersionSerializer
from templates_app.workspaces.models import Workspace
from templates_app.workspaces.serializers.answers import WorkspaceSerializer


class OrmAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Any, None]:
        key_id, _, secret = request.META["HTTP_CODER_SESSION_TOKEN"].partition("-")
        key = ApiKey.objects.select_related("user").filter(pk=key_id).first()
        given = hashlib.sha256(secret.encode()).digest()
        if (
            key is None
            or not hmac.compare_digest(bytes(key.hashed_secret), given)
            or key.expires_at < datetime.now(UTC)
        ):
            raise AuthenticationFailed
        return Actor.of(key.user), None


class Plain:
    authentication_classes = (OrmAuthentication,)
    permission_classes = ()
    renderer_classes = (JSONRenderer,)
    filter_backends = ()
    throttle_classes = ()


class LogSerializer(serializers.ModelSerializer[ProvisionerJobLog]):
    class Meta:
        model = ProvisionerJobLog
        fields = ["id", "created_at", "source", "level", "stage", "output"]


class Templates(Plain, generics.ListAPIView[Template]):
    serializer_class = TemplateSerializer

    def get_queryset(self) -> Any:
        rows = Template.objects.visible(self.request.user).filter(organization=self.kwargs["organization"])  # type: ignore[arg-type]
        return rows.most_used_first()


class OneTemplate(Plain, generics.RetrieveAPIView[Template]):
    serializer_class = TemplateSerializer

    def get_queryset(self) -> Any:
        return Template.objects.visible_one(self.request.user).with_statistics().select_related("created_by")  # type: ignore[arg-type]


class Versions(Plain, generics.ListAPIView[TemplateVersion]):
    serializer_class = TemplateVersionSerializer

    def get_queryset(self) -> Any:
        template = Template.objects.visible_one(self.request.user).get(pk=self.kwargs["template"])  # type: ignore[arg-type]
        rows = template.versions.select_related("job", "created_by").prefetch_related("created_by__memberships")
        return rows.order_by("created_at", "id")[: int(self.request.query_params.get("limit", 25))]


class Resources(Plain, generics.ListAPIView[WorkspaceResource]):
    serializer_class = ResourceSerializer

    def get_queryset(self) -> Any:
        version = TemplateVersion.objects.visible(self.request.user).get(pk=self.kwargs["version"])  # type: ignore[arg-type]
        return version.job.resources.prefetch_related("metadata", "agents__apps").order_by("name")


class Logs(Plain, generics.ListAPIView[ProvisionerJobLog]):
    serializer_class = LogSerializer

    def get_queryset(self) -> Any:
        version = TemplateVersion.objects.visible(self.request.user).get(pk=self.kwargs["version"])  # type: ignore[arg-type]
        return ProvisionerJobLog.objects.filter(job_id=version.job_id).order_by("id")


class OneWorkspace(Plain, generics.RetrieveAPIView[Workspace]):
    serializer_class = WorkspaceSerializer

    def get_queryset(self) -> Any:
        return with_related(Workspace.objects.visible(self.request.user))  # type: ignore[arg-type]


class Workspaces(Plain, generics.GenericAPIView[Workspace]):
    """The search of the benchmark, ``template:… name:…``, as a plain filter."""

    def get(self, request: Request) -> Response:
        given = dict(part.split(":") for part in request.query_params["q"].split())
        rows = Workspace.objects.visible(request.user).filter(deleted=False)  # type: ignore[arg-type]
        rows = rows.filter(template__name=given["template"], name__icontains=given["name"])
        found = with_related(rows.order_by("-last_used_at", "name", "id"))
        return Response({"workspaces": WorkspaceSerializer(found, many=True).data, "count": rows.count()})


def with_related(rows: Any) -> Any:
    related = ("owner", "template", "latest_build__job", "latest_build__template_version", "latest_build__initiator")
    nested = "latest_build__job__resources"
    return rows.select_related(*related, "latest_build__workspace__owner").prefetch_related(
        f"{nested}__metadata", f"{nested}__agents__apps"
    )


def constant(request: HttpRequest) -> HttpResponse:
    """Return a constant response."""
    return HttpResponse(b'{"message":"constant"}', content_type="application/json")


API, *REST = product
urlpatterns = [
    API,  # first, as in the product
    path("api/constant", constant),
    path("api/plain/organizations/<uuid:organization>/templates", Templates.as_view()),
    path("api/plain/templates/<uuid:pk>", OneTemplate.as_view()),
    path("api/plain/templates/<uuid:template>/versions", Versions.as_view()),
    path("api/plain/templateversions/<uuid:version>/resources", Resources.as_view()),
    path("api/plain/templateversions/<uuid:version>/logs", Logs.as_view()),
    path("api/plain/workspaces", Workspaces.as_view()),
    path("api/plain/workspaces/<uuid:pk>", OneWorkspace.as_view()),
    *REST,
]
