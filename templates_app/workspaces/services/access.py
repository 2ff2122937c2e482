"""Permission checks on workspaces that the querysets do not cover."""

import uuid
from typing import TypedDict

from coderproj.base.errors import DomainError, Forbidden, Invalid, NotFound
from coderproj.base.identifiers import NIL
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


class OwnTimes(TypedDict, total=False):
    """When a workspace starts and stops by itself, as its owner wishes it. What is left out is not asked for."""

    schedule: str
    ttl_ms: int | None


def require_creatable(template: Template, field: str) -> None:
    """Raise Invalid on ``field`` for a deprecated template, with its message."""
    if template.deprecated:
        raise Invalid.field(field, f"The template is deprecated: {template.deprecation_message}")


def require_own_times(template: Template, times: OwnTimes) -> None:
    """Raise Invalid on ``schedule`` and ``ttl_ms`` for times that the template does not leave to developers."""
    if times.get("schedule") and not template.allow_user_autostart:
        raise Invalid.field("schedule", "The template does not allow automatic starts.")
    default = template.default_ttl_ms or None
    if not template.allow_user_autostop and times.get("ttl_ms", default) != default:
        raise Invalid.field("ttl_ms", "The template decides when its workspaces stop.")


def require_version(actor: Actor, template: Template, version_id: uuid.UUID | None) -> None:
    """Raise Invalid on ``template_version_id`` for another version than the active one, if the template requires that
    and the actor may not update the template."""
    if not template.require_active_version or version_id in {None, NIL, template.active_version_id}:
        return
    if not Template.objects.manageable(actor, Action.UPDATE).filter(pk=template.pk).exists():
        raise Invalid.field("template_version_id", "The template requires its active version.")


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
