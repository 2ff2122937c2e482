"""Endpoints of workspaces: by id, by owner and name, and their creation."""

from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.pagination import MAX_INTEGER, CountedPagination, OffsetPagination, page_of
from coderproj.api.schema import ConfirmationSerializer, path_id
from coderproj.base.errors import NotFound
from coderproj.base.times import moment_text
from coderproj.identity.models import AuditAction
from coderproj.identity.organizations import find_organization
from coderproj.identity.users import ME, find_user
from coderproj.reads.compiled import json_answer
from coderproj.reads.viewsets import CompiledReads
from templates_app.workspaces import filters, reads
from templates_app.workspaces.answers import workspace_for_answer, workspaces_for_answers
from templates_app.workspaces.models import Workspace
from templates_app.workspaces.serializers.answers import WorkspacesAnswer, WorkspaceSerializer
from templates_app.workspaces.serializers.bodies import (
    CreateWorkspaceBody,
    ExtendBody,
    RenameWorkspaceBody,
    ScheduleBody,
    TimeToLiveBody,
    rich_values_of,
    variables_of,
)
from templates_app.workspaces.services import access, workspaces
from templates_app.workspaces.views.base import (
    INCLUDE_DELETED,
    OfWorkspace,
    RecordsRefusals,
    deleted_are_included,
    owner_reference,
)

WORKSPACE_ID = [path_id("workspace")]
SEARCH = OpenApiParameter(
    "q",
    str,
    description=f"`owner/name`, a part of the name, or keys: {', '.join(f'`{key}:`' for key in filters.KEYS)}.",
)
DELETED_TOO = OpenApiParameter(INCLUDE_DELETED, bool, description="Return a deleted workspace as well.")


class WorkspacePagination(CountedPagination, OffsetPagination):
    results_field = "workspaces"


class WorkspaceViewSet(CompiledReads, OfWorkspace):
    """Workspaces by their id."""

    serializer_class = WorkspaceSerializer
    body_classes = {
        "partial_update": RenameWorkspaceBody,
        "set_schedule": ScheduleBody,
        "set_time_to_live": TimeToLiveBody,
        "extend": ExtendBody,
    }
    compiled_reads = {"list": reads.WORKSPACES, "retrieve": reads.WORKSPACE}
    filterset_class = filters.WorkspaceFilter
    pagination_class = WorkspacePagination

    def is_filtered(self) -> bool:
        """Return True for the filters that the compiled read of the list does not apply."""
        return self.action == "list" and not filters.are_compiled(self.request.GET)

    @extend_schema(
        operation_id="workspaces",
        parameters=[SEARCH],
        responses={200: WorkspacesAnswer},
    )
    def list(self, request: Request) -> HttpResponseBase:
        """List the visible workspaces: used ones first, by last use, then by name. Deleted workspaces are listed with
        the status ``deleted`` only."""
        query = request.query_params
        page = page_of(query)
        terms = filters.terms_of(query)
        found = filters.merged(terms)
        if found is None:  # the search text and a parameter differ: rare, so no statement is compiled for it
            rows = filters.search_workspaces(self.actor, query)
            return self.get_paginated_response(
                self.get_serializer(self.paginate_queryset(workspaces_for_answers(rows)), many=True).data
            )
        owner = found.get("owner", "")
        body, *_ = self.compiled_row(
            self.actor.id if owner == ME else None,
            found.get("status"),
            page.limit or MAX_INTEGER,
            page.offset,
            "" if owner == ME else owner,
            found.get("name", ""),
            found.get("template", ""),
            found.get("has_agent", ""),
        )
        return json_answer(body)

    @extend_schema(operation_id="workspace", parameters=[*WORKSPACE_ID, DELETED_TOO])
    def retrieve(self, request: Request, workspace: str) -> HttpResponse:
        """Return a workspace. 410 for a deleted one, unless ``include_deleted`` is true."""
        body, is_deleted = self.compiled_row(self.workspace_id)
        if not deleted_are_included(request.query_params) and is_deleted:
            raise access.WorkspaceGone(detail="Add ?include_deleted=true to read it.")
        return json_answer(body)

    @extend_schema(operation_id="rename_workspace", parameters=WORKSPACE_ID, responses={204: None})
    def partial_update(self, request: Request, workspace: str) -> Response:
        """Rename a workspace. Without a name, nothing changes."""
        found, body = self.change(workspaces.authorize_rename)
        if "name" in body:
            workspaces.rename(self.actor, found, body["name"])
        return Response(status=204)

    @extend_schema(operation_id="set_workspace_schedule", parameters=WORKSPACE_ID, responses={204: None})
    def set_schedule(self, request: Request, workspace: str) -> Response:
        """Set the times at which a workspace starts by itself."""
        found, body = self.change()
        workspaces.set_schedule(self.actor, found, body["schedule"])
        return Response(status=204)

    @extend_schema(operation_id="set_workspace_ttl", parameters=WORKSPACE_ID, responses={204: None})
    def set_time_to_live(self, request: Request, workspace: str) -> Response:
        """Set the time from a start to the automatic stop, from the next build on."""
        found, body = self.change()
        workspaces.set_ttl(self.actor, found, body["ttl_ms"])
        return Response(status=204)

    @extend_schema(operation_id="extend_workspace", parameters=WORKSPACE_ID, responses={200: ConfirmationSerializer})
    def extend(self, request: Request, workspace: str) -> Response:
        """Set the time of the automatic stop of a running workspace."""
        found, body = self.change()
        deadline = workspaces.extend(self.actor, found, body["deadline"])
        return self.confirm(f"The workspace stops at {moment_text(deadline)}.")

    def change(self, authorize: Any = workspaces.authorize_update) -> tuple[Workspace, dict[str, Any]]:
        """Return the workspace to change and the body, in this order of errors."""
        found = self.find_workspace()
        authorize(self.actor, found)
        return found, self.read_body()


class OwnedWorkspaceViewSet(CompiledReads, RecordsRefusals):
    """Workspaces by their owner and name, and their creation."""

    audited_actions = {"create": AuditAction.CREATE, "create_for_user": AuditAction.CREATE}
    serializer_class = WorkspaceSerializer
    body_classes = {"create": CreateWorkspaceBody, "create_for_user": CreateWorkspaceBody}
    compiled_reads = {"retrieve": reads.WORKSPACE_BY_NAME}

    @extend_schema(operation_id="workspace_by_name", parameters=[DELETED_TOO])
    def retrieve(self, request: Request, user: str, workspacename: str) -> HttpResponse:
        """Return a user's workspace by its name, case-insensitive. With ``include_deleted``, the one that was created
        last if none exists."""
        owner = owner_reference(self.actor, user)
        included = deleted_are_included(request.query_params)
        read = reads.WORKSPACE_BY_NAME_OR_DELETED if included else reads.WORKSPACE_BY_NAME
        return json_answer(named_row(self, read, owner, workspacename)[0])

    @extend_schema(operation_id="create_workspace", responses={201: WorkspaceSerializer})
    def create(self, request: Request, organization: str, user: str) -> Response:
        """Create a workspace of a member of the organization, and start it."""
        found = find_organization(self.actor, organization)
        owner = find_user(self.actor, user)
        self.audited = workspaces.not_created(owner, found)
        workspaces.authorize_creation(self.actor, found, owner)
        new = new_workspace(self.read_body())
        return self.respond(workspace_for_answer(workspaces.create(self.actor, found, owner, new)), status=201)

    @extend_schema(operation_id="create_user_workspace", responses={201: WorkspaceSerializer})
    def create_for_user(self, request: Request, user: str) -> Response:
        """Create a workspace of a user in the organization of its template, and start it."""
        owner = find_user(self.actor, user)
        self.audited = workspaces.not_created(owner, None)
        workspaces.authorize_creation_anywhere(self.actor, owner)
        new = new_workspace(self.read_body())
        found = workspaces.organization_for(self.actor, new)
        return self.respond(workspace_for_answer(workspaces.create(self.actor, found, owner, new)), status=201)


def new_workspace(body: dict[str, Any]) -> workspaces.NewWorkspace:
    """Return the workspace that a validated body describes."""
    return workspaces.NewWorkspace(
        name=body["name"],
        template_id=body.get("template_id"),
        version_id=body.get("template_version_id"),
        autostart_schedule=body["autostart_schedule"],
        ttl_ms=body.get("ttl_ms"),
        rich_values=rich_values_of(body),
        preset_id=body.get("template_version_preset_id"),
        variables=variables_of(body),
    )


def named_row(view: CompiledReads, read: Any, owner: Any, *arguments: Any) -> Any:
    """Return the row of a read by owner and name. Raises NotFound, and UnknownUser if there is no such user."""
    try:
        return view.row_of(read, owner, *arguments)
    except NotFound:
        find_user(view.request.user, view.kwargs["user"])  # type: ignore[arg-type]
        raise
