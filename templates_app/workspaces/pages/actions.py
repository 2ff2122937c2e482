"""Start, stop and delete a workspace, and cancel its build."""

from abc import ABC, abstractmethod
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.base.errors import DomainError, Forbidden, NotFound
from coderproj.console.questions import Question
from coderproj.identity.rbac import Action
from provisioning.engine.base import Transition
from templates_app.workspaces.pages import questions, quota
from templates_app.workspaces.pages.addresses import workspace_url
from templates_app.workspaces.pages.base import WorkspaceSection
from templates_app.workspaces.services import access, builds, values


class ActionPage(WorkspaceSection, ABC):
    """Asks for confirmation, and acts. Dialogs of the workspace's page post here."""

    action = Action.UPDATE
    label = ""

    def prepare(self, **route: Any) -> None:
        super().prepare(**route)
        self.authorize(self.action)

    @abstractmethod
    def question(self) -> Question | None:
        """Return the question; None if there is nothing to do."""

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        question = self.question()
        return self.ask(question) if question is not None else self.go(self.address)

    def ask(self, question: Question, status: int = 200) -> HttpResponseBase:
        return self.show("console/question.html", self.frame(self.label) | {"question": question}, status=status)

    def build(self, transition: Transition, *, orphan: bool = False) -> HttpResponseBase:
        """Queue a build and show it. If it is not possible, say why on the workspace's page. Raises InvalidValues if a
        start needs other values."""
        try:
            builds.create(self.actor, self.workspace, builds.NewBuild(transition, orphan=orphan))
        except (Forbidden, NotFound, access.WorkspaceGone):
            raise
        except DomainError as error:
            if isinstance(error, values.InvalidValues) and transition is Transition.START:
                raise
            details = (problem.detail for problem in error.problems)
            self.warn(" ".join(filter(None, (error.message, error.detail, *details))))
        return self.go(self.address)


class StartWorkspace(ActionPage):
    """Starts with the values of the latest build. If a parameter needs another one, the form asks for it."""

    label = "Start"

    def question(self) -> Question:
        build = self.latest
        note = quota.of_start(self.actor, self.workspace, build.template_version) if build is not None else ""
        return questions.starting(self.workspace, note)

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        try:
            return self.build(Transition.START)
        except values.InvalidValues as error:
            self.warn(f"The workspace cannot start with its present values. {error.detail}")
            name = self.latest.template_version.name if self.latest is not None else ""
            return self.go(f"{workspace_url(self.workspace, 'update-workspace')}?version={name}")


class StopWorkspace(ActionPage):
    label = "Stop"

    def question(self) -> Question:
        return questions.stopping(self.workspace, questions.resources_of(self.workspace, self.latest))

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        return self.build(Transition.STOP)


class DeleteWorkspace(ActionPage):
    """Asks for the workspace's name, because its data cannot be restored, and whether resources are left behind."""

    action = Action.DELETE
    label = "Delete"

    def question(self) -> Question:
        found = questions.resources_of(self.workspace, self.latest)
        may_orphan = access.may_handle_state(self.actor, self.workspace)
        return questions.deletion(self.workspace, found, may_orphan=may_orphan)

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        question = self.question()
        if not question.is_confirmed(request.POST.get("confirmation", "")):
            return self.ask(question.again(request.POST, "This is not the name of the workspace."), 400)
        return self.build(Transition.DELETE, orphan=questions.ORPHAN in request.POST)


class CancelBuild(ActionPage):
    """Cancels the latest build. If it has ended already, the workspace's page shows how."""

    label = "Cancel"

    def question(self) -> Question | None:
        return self.cancellation()

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        if self.latest is None:
            raise NotFound
        try:
            builds.cancel(self.actor, self.latest)
        except Forbidden:
            raise
        except DomainError as error:
            self.warn(" ".join(filter(None, (error.message, error.detail))))
            return self.go(self.address)
        return self.go(self.address, "The build is being canceled.")
