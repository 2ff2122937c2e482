"""Base classes of viewsets at or below a workspace or a build. Hidden objects are not found."""

import uuid
from collections.abc import Mapping
from typing import ClassVar

from django.db import models
from rest_framework.response import Response

from coderproj.api.authentication import SAFE_METHODS
from coderproj.api.viewsets import ApiViewSet
from coderproj.base.errors import Invalid, NotFound
from coderproj.base.identifiers import parse_uuid, path_uuid
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction
from coderproj.identity.users import ME
from templates_app.workspaces.answers import builds_for_answers, workspaces_for_answers
from templates_app.workspaces.models import Workspace, WorkspaceBuild, WorkspaceBuildQuerySet, WorkspaceQuerySet

INCLUDE_DELETED = "include_deleted"
# Texts of booleans that Go clients send.
TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE = frozenset({"", "0", "f", "F", "FALSE", "false", "False"})


class RecordsRefusals(ApiViewSet):
    """A resource whose refused changes are in the audit log, whatever refuses them: permissions, the body, a service.

    ``audited`` is the object that a request changes, once the view has found it. ``audited_actions`` has the actions
    of those methods of the viewset that do not merely change it.
    """

    audited: models.Model | None = None
    audited_actions: ClassVar[Mapping[str, AuditAction]] = {}

    def handle_exception(self, exc: Exception) -> Response:
        if self.audited is not None and self.request.method not in SAFE_METHODS:
            action = self.audited_actions.get(self.action, AuditAction.WRITE)
            audit.record_refusal(self.actor, action, self.audited, exc)
        return super().handle_exception(exc)


class OfWorkspace(RecordsRefusals):
    """A resource at or below ``/workspaces/{workspace}``. Deleted workspaces can be read."""

    lookup_url_kwarg = "workspace"

    @property
    def workspace_id(self) -> uuid.UUID:
        """The id in the path. Raises DomainError for an invalid id."""
        return path_uuid("workspace", self.kwargs["workspace"])

    def find_workspace(self) -> Workspace:
        """Return the visible workspace. Raises NotFound."""
        found = Workspace.objects.visible(self.actor).with_build().filter(pk=self.workspace_id).first()
        if found is None:
            raise NotFound
        self.audited = found
        return found

    def get_queryset(self) -> WorkspaceQuerySet:
        return workspaces_for_answers(Workspace.objects.visible(self.actor).with_build())


class OfBuild(RecordsRefusals):
    """A resource at or below ``/workspacebuilds/{workspacebuild}``. What changes a build changes its job."""

    lookup_url_kwarg = "workspacebuild"
    audited_actions = {"cancel": AuditAction.STOP}

    @property
    def build_id(self) -> uuid.UUID:
        """The id in the path. Raises DomainError for an invalid id."""
        return path_uuid("workspacebuild", self.kwargs["workspacebuild"])

    def find_build(self) -> WorkspaceBuild:
        """Return the visible build with its workspace and job. Raises NotFound."""
        rows = WorkspaceBuild.objects.visible(self.actor).select_related("workspace", "job")
        found = rows.filter(pk=self.build_id).first()
        if found is None:
            raise NotFound
        self.audited = found.job
        return found

    def get_queryset(self) -> WorkspaceBuildQuerySet:
        return builds_for_answers(WorkspaceBuild.objects.visible(self.actor))


def owner_reference(actor: Actor, text: str) -> uuid.UUID | str:
    """Return the id of the user in a path, or the username."""
    return actor.id if text == ME else parse_uuid(text) or text


def deleted_are_included(query: Mapping[str, str]) -> bool:
    """Return the value of ``include_deleted``. Raises Invalid."""
    text = query.get(INCLUDE_DELETED, "")
    if text not in TRUE | FALSE:
        raise Invalid.field(INCLUDE_DELETED, f"{text[:64]!r} is not true or false.")
    return text in TRUE
