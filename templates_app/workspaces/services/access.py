"""Permission checks on workspaces that the querysets do not cover."""

import uuid

from coderproj.base.errors import DomainError, Forbidden, NotFound
from coderproj.identity.actor import Actor
from coderproj.identity.rbac import Action, Resource
from provisioning.models import ParameterScope
from provisioning.parameters import ScopeRule
from templates_app.models import Template
from templates_app.services.checks import CheckedObject
from templates_app.workspaces.models import Workspace


class WorkspaceGone(DomainError):
    """The workspace was deleted (decision: every change of a deleted workspace is refused)."""

    status_code = 410
    message = "The workspace was deleted."


def authorize(actor: Actor, action: Action, workspace: Workspace) -> None:
    """Check that the actor may do ``action`` on a readable workspace. Raises Forbidden, and WorkspaceGone for a deleted
    one."""
    if not Workspace.objects.changeable(actor, action).filter(pk=workspace.pk).exists():
        raise Forbidden
    if workspace.deleted:
        raise WorkspaceGone


def may_handle_state(actor: Actor, workspace: Workspace) -> bool:
    """Return True if the actor may read and push the state: users who may update the template (decision 2)."""
    return Template.objects.manageable(actor, Action.UPDATE).filter(pk=workspace.template_id).exists()


def authorize_state(actor: Actor, workspace: Workspace) -> None:
    """Check that the actor may read and push the state of a readable workspace. Raises Forbidden."""
    if not may_handle_state(actor, workspace):
        raise Forbidden("Only users who may update the template can read or replace the state.")


def authorize_on_values(actor: Actor, action: Action, workspace_id: uuid.UUID) -> None:
    """Check access to the stored values of a workspace's variables. Raises NotFound and Forbidden."""
    workspace = Workspace.objects.visible(actor).filter(pk=workspace_id).first()
    if workspace is None:
        raise NotFound
    if action != Action.READ:
        authorize(actor, action, workspace)


PARAMETER_SCOPES = [ScopeRule(ParameterScope.WORKSPACE, authorize_on_values)]


def owner_of(actor: Actor, workspace_id: uuid.UUID) -> tuple[uuid.UUID, uuid.UUID] | None:
    """Return the ids of organization and owner of a readable workspace, else None."""
    rows = Workspace.objects.visible(actor).filter(pk=workspace_id)
    return rows.values_list("organization_id", "owner_id").first()


CHECKED_OBJECTS = [
    CheckedObject(Resource.WORKSPACE, owner_of),
    CheckedObject(Resource.WORKSPACE_EXECUTION, owner_of),
]
