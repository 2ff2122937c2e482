"""The name of a workspace: its form field, and the page that renames a workspace."""

from typing import Any

from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.base.errors import Conflict, DomainError, Forbidden, NotFound
from coderproj.console.forms import ConsoleForm
from templates_app.names import NAME_LENGTH, check_name
from templates_app.workspaces.pages.addresses import workspace_url
from templates_app.workspaces.pages.base import ChangeSection
from templates_app.workspaces.services import access, workspaces

TAKEN = "The owner already has a workspace with this name."


class NamedForm(ConsoleForm):
    """A form with the name of a workspace, ``name``."""

    name = forms.CharField(
        label="Name",
        max_length=NAME_LENGTH,
        help_text="Letters, digits and single dashes.",
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
    )

    def clean_name(self) -> str:
        """Return a valid name. Raises ValidationError."""
        name = str(self.cleaned_data["name"])
        check_name(name)
        return name

    def show_error(self, error: DomainError) -> None:
        """Show a service's error: that of a taken name at the name."""
        if isinstance(error, Conflict) and any(problem.field == "name" for problem in error.problems):
            self.add_error("name", TAKEN)
        else:
            super().show_error(error)


class RenameWorkspace(ChangeSection):
    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        return self.form_page(NamedForm(initial={"name": self.workspace.name}))

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        form = NamedForm(request.POST)
        if not form.is_valid():
            return self.form_page(form, 400)
        try:
            workspaces.rename(self.actor, self.workspace, form.cleaned_data["name"])
        except (Forbidden, NotFound, access.WorkspaceGone):
            raise
        except DomainError as error:
            form.show_error(error)
            return self.form_page(form, error.status_code)
        return self.go(workspace_url(self.workspace), f"The workspace is now named {self.workspace.name}.")

    def form_page(self, form: NamedForm, status: int = 200) -> HttpResponseBase:
        context = self.frame("Rename") | {"form": form, "form_url": workspace_url(self.workspace, "rename-workspace")}
        return self.show("workspaces/rename.html", context, status=status)
