"""Endpoints of builds: those of a workspace, single ones, their results and logs."""

import re
import uuid

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.pagination import CursorPagination
from coderproj.api.schema import ConfirmationSerializer, path_id
from coderproj.api.viewsets import ApiViewSet
from coderproj.base.errors import DomainError, NotFound
from coderproj.identity.rbac import Action
from coderproj.reads.compiled import json_answer
from coderproj.reads.viewsets import CompiledReads
from provisioning.engine.base import Transition
from provisioning.serializers.jobs import LogSerializer
from provisioning.views.logs import CompiledLog
from templates_app.workspaces import filters, reads, states
from templates_app.workspaces.answers import build_for_answer, builds_for_answers
from templates_app.workspaces.models import Workspace, WorkspaceBuild, WorkspaceBuildQuerySet
from templates_app.workspaces.serializers.answers import (
    BuildParameterSerializer,
    BuildResourceSerializer,
    WorkspaceBuildSerializer,
)
from templates_app.workspaces.serializers.bodies import CreateBuildBody, rich_values_of, variables_of
from templates_app.workspaces.services import access, builds
from templates_app.workspaces.views.base import OfBuild, OfWorkspace, owner_reference
from templates_app.workspaces.views.long_bodies import StateParser
from templates_app.workspaces.views.workspaces import WORKSPACE_ID, named_row

BUILD_ID = [path_id("workspacebuild")]
NUMBER = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)


class BuildUnfinished(DomainError):
    """The resources of an unfinished build were requested (400 by contract)."""

    message = "Workspace build hasn't completed!"


class WorkspaceBuildsViewSet(ListModelMixin, OfWorkspace):
    """The builds of a workspace."""

    serializer_class = WorkspaceBuildSerializer
    body_classes = {"create": CreateBuildBody}
    filterset_class = filters.BuildFilter
    pagination_class = CursorPagination
    parser_classes = (StateParser,)

    def may_send_state(self) -> bool:
        """Return True if the actor may handle the state of the workspace that the view has found."""
        return isinstance(self.audited, Workspace) and access.may_handle_state(self.actor, self.audited)

    def get_queryset(self) -> WorkspaceBuildQuerySet:  # type: ignore[override]
        """Return the builds of the visible workspace, newest first. Raises NotFound."""
        workspace = self.find_workspace()
        return builds_for_answers(WorkspaceBuild.objects.filter(workspace=workspace)).newest_first()

    def rows_after(self, rows: WorkspaceBuildQuerySet, after_id: uuid.UUID) -> WorkspaceBuildQuerySet:
        """Return the rows after a build of the workspace. Raises DomainError when there is no such build."""
        number = rows.filter(pk=after_id).values_list("build_number", flat=True).first()
        if number is None:
            raise DomainError(f'Record at "after_id" ({after_id}) does not exist.')
        return rows.filter(build_number__lt=number)

    @extend_schema(operation_id="workspace_builds", parameters=WORKSPACE_ID)
    def list(self, request: Request, workspace: str) -> Response:
        """List the builds of a workspace, newest first."""
        return super().list(request)

    @extend_schema(
        operation_id="create_workspace_build", parameters=WORKSPACE_ID, responses={201: WorkspaceBuildSerializer}
    )
    def create(self, request: Request, workspace: str) -> Response:
        """Start, stop or delete a workspace. 409 while another build is active. A body has at most 2 MiB without its
        ``state``, which only users who may update the template can send."""
        found = self.find_workspace()
        access.authorize(self.actor, Action.UPDATE, found)
        body = self.read_body()
        new = builds.NewBuild(
            transition=Transition(body["transition"]),
            version_id=body.get("template_version_id"),
            state=body.get("state"),
            orphan=body["orphan"],
            rich_values=rich_values_of(body),
            variables=variables_of(body),
        )
        return self.respond(build_for_answer(builds.create(self.actor, found, new)), status=201)


class OwnedBuildViewSet(CompiledReads, ApiViewSet):
    """Builds by the owner and name of their workspace, and their number."""

    serializer_class = WorkspaceBuildSerializer
    compiled_reads = {"retrieve": reads.BUILD_BY_NUMBER}

    @extend_schema(operation_id="workspace_build_by_number")
    def retrieve(self, request: Request, user: str, workspacename: str, buildnumber: str) -> HttpResponse:
        """Return a build of a user's workspace by its number."""
        owner = owner_reference(self.actor, user)
        number = int(buildnumber) if NUMBER.fullmatch(buildnumber) else 2**31
        if not -(2**31) <= number < 2**31:
            raise DomainError(f"{buildnumber[:64]!r} is not a build number.")
        (array,) = named_row(self, reads.BUILD_BY_NUMBER, owner, workspacename, number)
        if array == b"[]":
            raise NotFound(f"The workspace has no build {number}.")
        return json_answer(array[1:-1])


class BuildViewSet(CompiledReads, OfBuild):
    """Builds by their id, and their results."""

    serializer_class = WorkspaceBuildSerializer
    serializer_classes = {"resources": BuildResourceSerializer, "parameters": BuildParameterSerializer}
    compiled_reads = {
        "retrieve": reads.BUILD,
        "resources": reads.RESOURCES,
        "parameters": reads.PARAMETERS,
    }

    @extend_schema(operation_id="workspace_build")
    def retrieve(self, request: Request, workspacebuild: str) -> HttpResponse:
        """Return a build with the status of its job."""
        return self.compiled_answer(self.build_id)

    @extend_schema(operation_id="cancel_workspace_build", responses={200: ConfirmationSerializer})
    def cancel(self, request: Request, workspacebuild: str) -> Response:
        """Cancel a build. A waiting one ends at once, a running one is interrupted."""
        builds.cancel(self.actor, self.find_build())
        return self.confirm("Job has been marked as canceled...")

    @extend_schema(operation_id="workspace_build_resources", responses={200: BuildResourceSerializer(many=True)})
    def resources(self, request: Request, workspacebuild: str) -> HttpResponse:
        """Return the resources of a build by name, with agents and apps."""
        body, has_ended = self.compiled_row(self.build_id)
        if not has_ended:
            raise BuildUnfinished
        return json_answer(body)

    @extend_schema(operation_id="workspace_build_parameters", responses={200: BuildParameterSerializer(many=True)})
    def parameters(self, request: Request, workspacebuild: str) -> HttpResponse:
        """Return the values of the rich parameters of a build."""
        return self.compiled_answer(self.build_id)

    @extend_schema(operation_id="workspace_build_state", responses={200: OpenApiTypes.ANY})
    def state(self, request: Request, workspacebuild: str) -> HttpResponse:
        """Return the Terraform state that a build left behind, an empty body if there is none. Only users who may
        update the template can read it."""
        build = self.find_build()
        access.authorize_state(self.actor, build.workspace)
        return HttpResponse(states.state_of(build), content_type="application/json")


@extend_schema_view(
    list=extend_schema(operation_id="workspace_build_logs", description="The log of a build, to read or to follow.")
)
class BuildLogViewSet(CompiledLog, OfBuild):
    """The log of a build."""

    serializer_class = LogSerializer
    compiled_reads = {"list": reads.LOG_OF_BUILD}

    @property
    def object_id(self) -> uuid.UUID:
        return self.build_id
