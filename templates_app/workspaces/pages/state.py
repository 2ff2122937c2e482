"""The Terraform state of a build: as a file, and another one for the next build."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from coderproj.base.errors import DomainError, Forbidden, NotFound, TooManyRequests
from coderproj.console.forms import ConsoleForm
from coderproj.identity.limits import upload_allowed
from provisioning.engine.base import MAX_STATE, Transition
from templates_app.workspaces import states
from templates_app.workspaces.models import WorkspaceBuild
from templates_app.workspaces.pages.addresses import build_url, workspace_url
from templates_app.workspaces.pages.base import BUSY, ChangeSection
from templates_app.workspaces.pages.build import BuildSection
from templates_app.workspaces.services import access, builds

MIB = 1 << 20


class BuildStateFile(BuildSection):
    """The state that a build left behind, as a file. It contains secrets in plain text."""

    def prepare(self, **route: Any) -> None:
        super().prepare(**route)
        access.authorize_state(self.actor, self.workspace)

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        state = states.state_of(self.build)
        if not state:
            raise NotFound
        response = HttpResponse(state, content_type="application/json")
        name = f"{self.workspace.name}-{self.build.build_number}.tfstate"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        response["Cache-Control"] = "no-store"
        return response


class StateForm(ConsoleForm):
    state = forms.FileField(
        label="State file",
        help_text=f"A state as Terraform writes it, in JSON, at most {MAX_STATE // MIB} MiB.",
        widget=forms.FileInput({"accept": ".tfstate,.json,application/json"}),
        error_messages={"required": "Choose a file.", "empty": "The file is empty."},
    )
    transition = forms.ChoiceField(
        label="Build with it",
        choices=[(Transition.START.value, "Start the workspace"), (Transition.STOP.value, "Stop the workspace")],
        widget=forms.RadioSelect,
    )

    def clean_state(self) -> bytes:
        """The content of the file. Raises ValidationError for one that is too large, without reading it."""
        upload: UploadedFile[bytes] = self.cleaned_data["state"]
        if (upload.size or 0) > MAX_STATE:
            raise ValidationError([problem.detail for problem in builds.StateTooLarge().problems])
        return bytes(upload.read())


class PushState(ChangeSection):
    """Creates a build that has an uploaded state instead of the workspace's."""

    build: WorkspaceBuild

    def prepare(self, **route: Any) -> None:
        super().prepare(**route)
        access.authorize_state(self.actor, self.workspace)
        if self.latest is None:
            raise NotFound
        self.build = self.latest

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        starts = self.build.transition == Transition.START
        return self.form_page(StateForm(initial={"transition": Transition.START if starts else Transition.STOP}))

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        form = StateForm(request.POST, request.FILES)
        if not form.is_valid():
            return self.form_page(form, 400)
        try:
            build = self._build(form)
        except (Forbidden, NotFound, access.WorkspaceGone):
            raise
        except DomainError as error:
            form.show_error(error)
            return self.form_page(form, error.status_code)
        build.workspace = self.workspace
        return self.go(build_url(build), f"Build #{build.build_number} has the uploaded state.")

    def _build(self, form: StateForm) -> WorkspaceBuild:
        """Create the build. Raises DomainError."""
        if not upload_allowed(self.actor.id):
            raise TooManyRequests("Too many uploads: wait a minute.")
        given = form.cleaned_data
        new = builds.NewBuild(Transition(given["transition"]), state=given["state"])
        return builds.create(self.actor, self.workspace, new)

    def form_page(self, form: StateForm, status: int = 200) -> HttpResponseBase:
        context = self.frame("Push a state") | {
            "form": form,
            "state": states.facts_of(self.build),
            "file_url": build_url(self.build, "workspace-build-state"),
            "obstacle": BUSY if self.is_busy else "",
            "form_url": workspace_url(self.workspace, "push-state"),
        }
        return self.show("workspaces/push_state.html", context, status=status)
