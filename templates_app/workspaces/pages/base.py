"""The shared parts of the pages of a workspace: lookup, head, and the actions that are possible and allowed."""

import uuid
from dataclasses import dataclass
from typing import Any

from coderproj.base.errors import DomainError, NotFound
from coderproj.console.questions import Question
from coderproj.console.views import SignedInPage
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction
from coderproj.identity.rbac import Action, Resource, allowed
from provisioning.engine.base import Transition
from templates_app.models import Template
from templates_app.pages.addresses import template_url, version_url
from templates_app.workspaces.models import BuildStatus, Workspace, WorkspaceBuild
from templates_app.workspaces.pages import questions
from templates_app.workspaces.pages.addresses import workspace_url
from templates_app.workspaces.pages.cells import status_key
from templates_app.workspaces.pages.listing import is_outdated
from templates_app.workspaces.services import access, builds

WORKSPACES = ("Workspaces", "/workspaces")
RELATED = (
    *("owner", "organization", "template__organization", "template__active_version"),
    *("latest_build__initiator", "latest_build__job__initiator", "latest_build__template_version__job"),
)
UNUSED = ("template__active_version__readme", "latest_build__template_version__readme")
START, STOP, CHANGE, DELETE, CANCEL = "start", "stop", "change", "delete", "cancel"
# The actions in each status of a workspace (contract, dashboard). A build that still waits can be canceled as well.
ACTIONS = {
    BuildStatus.PENDING: {CANCEL},
    BuildStatus.STARTING: {CANCEL},
    BuildStatus.STOPPING: {CANCEL},
    BuildStatus.DELETING: {CANCEL},
    BuildStatus.RUNNING: {STOP, CHANGE, DELETE},
    BuildStatus.STOPPED: {START, CHANGE, DELETE},
    BuildStatus.FAILED: {START, CHANGE, DELETE},
    BuildStatus.CANCELED: {START, STOP, CHANGE, DELETE},
    BuildStatus.CANCELING: set[str](),
    BuildStatus.DELETED: set[str](),
}
BUSY = "A build of the workspace is active. Wait until it has ended."
# The build that repeats a failed or canceled one.
REPEATS = {Transition.START: START, Transition.STOP: STOP, Transition.DELETE: DELETE}


@dataclass(frozen=True, slots=True)
class Offers:
    """What the page offers: addresses of pages, and questions. Empty or None if it is not possible or not allowed."""

    start_url: str = ""
    change_url: str = ""
    schedule_url: str = ""
    rename_url: str = ""
    stop: Question | None = None
    delete: Question | None = None
    cancel: Question | None = None
    retry: str = ""


class WorkspaceSection(SignedInPage):
    """A page of one visible workspace: ``self.workspace``, its ``self.latest`` build, and ``self.may_update`` if the
    actor may change it."""

    section = "workspaces"
    workspace: Workspace
    latest: WorkspaceBuild | None
    may_update: bool

    def prepare(self, **route: Any) -> None:
        workspace = find_workspace(self.actor, **route)
        if workspace is None:
            raise NotFound
        self.workspace = workspace
        self.latest = workspace.latest_build
        if self.latest is not None:
            self.latest.workspace = workspace
            self.latest.template_version.template = workspace.template
        workspace.template.active_version.template = workspace.template
        self.may_update = not workspace.deleted and may(self.actor, Action.UPDATE, workspace)

    def authorize(self, action: Action) -> None:
        """Check that the actor may do the action. A refused change is recorded. Raises Forbidden and WorkspaceGone."""
        try:
            access.authorize(self.actor, action, self.workspace)
        except DomainError as error:
            if self.request.method == "POST":
                audit.record_refusal(self.actor, AuditAction.WRITE, self.workspace, error)
            raise

    @property
    def status(self) -> BuildStatus:
        return self.latest.status if self.latest is not None else BuildStatus.PENDING

    @property
    def is_busy(self) -> bool:
        """True while a build of the workspace is active, so that no other can be created."""
        return not ACTIONS[self.status] - {CANCEL}

    @property
    def address(self) -> str:
        return workspace_url(self.workspace)

    def frame(self, here: str = "") -> dict[str, Any]:
        """Return the context of the workspace's head; ``here`` is the last part of the breadcrumbs. At most one
        query."""
        workspace, template = self.workspace, self.workspace.template
        may_read = Template.objects.visible(self.actor).filter(pk=template.pk).exists()
        return {
            "workspace": workspace,
            "build": self.latest,
            "status_key": status_key(self.status),
            "template": template,
            "template_name": template.display_name or template.name,
            "template_url": template_url(template) if may_read else "",
            "version_url": version_url(self.latest.template_version) if may_read and self.latest else "",
            "address": self.address,
            "may_update": self.may_update,
            "outdated": not workspace.deleted and is_outdated(workspace),
            "trail": [WORKSPACES, (workspace.name, self.address if here else ""), *([(here, "")] if here else [])],
        }

    def offers(self, found: questions.Found) -> Offers:
        """Return what is possible and allowed. At most two queries."""
        workspace = self.workspace
        possible = ACTIONS[self.status] if self.may_update else set()
        may_delete = self.may_update and may(self.actor, Action.DELETE, workspace)
        repeated = ""
        if self.latest is not None and self.status in {BuildStatus.FAILED, BuildStatus.CANCELED} and possible:
            repeated = REPEATS[Transition(self.latest.transition)]
        stoppable = STOP in possible or repeated == STOP
        return Offers(
            start_url=workspace_url(workspace, "start-workspace") if START in possible else "",
            change_url=workspace_url(workspace, "update-workspace") if CHANGE in possible else "",
            schedule_url=workspace_url(workspace, "workspace-schedule") if self.may_update else "",
            rename_url=workspace_url(workspace, "rename-workspace") if self.may_update else "",
            stop=questions.stopping(workspace, found) if stoppable else None,
            delete=self._deletion(found) if DELETE in possible and may_delete else None,
            cancel=self.cancellation() if CANCEL in possible else None,
            retry=repeated,
        )

    def _deletion(self, found: questions.Found) -> Question:
        may_orphan = access.may_handle_state(self.actor, self.workspace)
        return questions.deletion(self.workspace, found, may_orphan=may_orphan)

    def cancellation(self) -> Question | None:
        """Return the question before the latest build is canceled, None if that is not possible or not allowed."""
        build = self.latest
        if build is None or CANCEL not in ACTIONS[self.status]:
            return None
        return questions.cancellation(build) if builds.cancelable(self.actor, [build.job]) else None


class ChangeSection(WorkspaceSection):
    """A page that changes the workspace, for users who may. Raises Forbidden, and WorkspaceGone for a deleted one."""

    def prepare(self, **route: Any) -> None:
        super().prepare(**route)
        self.authorize(Action.UPDATE)


def may(actor: Actor, action: Action, workspace: Workspace) -> bool:
    """Return True if the actor may do the action on the workspace. No query."""
    return allowed(
        actor,
        action,
        Resource.WORKSPACE,
        organization_id=workspace.organization_id,
        owner_id=workspace.owner_id,
    )


def find_workspace(
    actor: Actor, *, owner: str = "", workspace: str = "", workspace_id: uuid.UUID | None = None, **route: Any
) -> Workspace | None:
    """Return the visible workspace with this ID, or with these names: an existing one, else the newest deleted one."""
    rows = Workspace.objects.visible(actor).select_related(*RELATED).defer(*UNUSED)
    if workspace_id is not None:
        return rows.filter(pk=workspace_id).first()
    named = rows.filter(owner__username__iexact=owner, name__iexact=workspace)
    return named.order_by("deleted", "-created_at").first()
