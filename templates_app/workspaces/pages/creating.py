"""Create a workspace from a template: its name, its parameters, its schedule, and what will be built."""

import uuid
from functools import cached_property
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.base.errors import DomainError, Forbidden, Invalid, NotFound
from coderproj.base.identifiers import parse_uuid
from coderproj.identity.models import User
from coderproj.identity.rbac import Action, Resource, allowed
from provisioning.engine.base import Transition
from templates_app.models import Preset
from templates_app.names import NAME_LENGTH, check_name
from templates_app.pages.base import TemplateSection
from templates_app.pages.resources import resource_sets
from templates_app.parameter_form import Answers
from templates_app.workspaces.models import Workspace
from templates_app.workspaces.pages import quota
from templates_app.workspaces.pages.addresses import creation_url, workspace_url
from templates_app.workspaces.pages.naming import TAKEN, NamedForm
from templates_app.workspaces.pages.of_template import may_create
from templates_app.workspaces.pages.schedule import ScheduleForm, initial_of
from templates_app.workspaces.pages.update import obstacle_of, values_context
from templates_app.workspaces.pages.values_form import (
    ValuesForm,
    new_form,
    rich_given,
    variables_given,
    with_errors,
)
from templates_app.workspaces.services import values, workspaces

# The fields of the form by the names that services give them.
FIELDS = {"schedule": "cron", "ttl_ms": "hours", "user": "owner"}


class WorkspaceForm(NamedForm, ScheduleForm):
    """The name and the schedule of a new workspace, and its owner if the actor may create workspaces of others."""

    owner = forms.CharField(
        label="Owner",
        max_length=32,
        required=False,
        help_text="The username of the member who gets the workspace.",
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, for_others: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not for_others:
            del self.fields["owner"]

    def show_error(self, error: DomainError) -> None:
        """Show a service's error at the fields, which have other names there."""
        known = [problem for problem in error.problems if FIELDS.get(problem.field) in self.fields]
        for problem in known:
            self.add_error(FIELDS[problem.field], problem.detail)
        if len(known) < len(error.problems) or not known:
            super().show_error(error)


class CreationSection(TemplateSection):
    """A page about a new workspace of the template's active version, for members who may create workspaces."""

    tab = ""

    def prepare(self, **route: str) -> None:
        super().prepare(**route)
        if not may_create(self.actor, self.template.organization_id):
            raise Forbidden
        self.template.active_version.template = self.template

    @property
    def creates_for_others(self) -> bool:
        """True if the actor may create workspaces of other members."""
        return allowed(self.actor, Action.CREATE, Resource.WORKSPACE, organization_id=self.template.organization_id)

    @cached_property
    def presets(self) -> list[Preset]:
        return list(self.template.active_version.presets.order_by("index"))

    def values_form(self) -> ValuesForm:
        return new_form(self.template.active_version)


class NewWorkspace(CreationSection):
    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        form = self.values_form()
        initial = initial_of("", self.template.default_ttl_ms or None)
        suggested = suggested_name(self.template.name, self.actor.id)
        given = initial | {"name": suggested, "owner": self.actor.username}
        details = WorkspaceForm(initial=given, for_others=self.creates_for_others)
        wanted = parse_uuid(request.GET.get("preset", ""))
        preset = next((one for one in self.presets if one.pk == wanted or (not wanted and one.is_default)), None)
        return self.form_page(details, form, form.initial(preset.values if preset else None), preset=preset)

    def post(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        shown = self.template.default_ttl_ms or None
        details = WorkspaceForm(request.POST, for_others=self.creates_for_others, shown_ttl_ms=shown)
        form = self.values_form()
        answers = form.answers(request.POST, complete=True)
        if not details.is_valid() or answers.errors:
            return self.form_page(details, form, answers, status=400)
        try:
            workspace = self._create(details, answers)
        except values.InvalidValues as error:
            answers, texts = with_errors(answers, error)
            return self.form_page(details, form, answers, " ".join(texts), status=400)
        except (Forbidden, NotFound):
            raise
        except DomainError as error:
            details.show_error(error)
            return self.form_page(details, form, answers, status=error.status_code)
        return self.go(workspace_url(workspace))

    def _create(self, details: WorkspaceForm, answers: Answers) -> Workspace:
        """Create the workspace. Raises DomainError."""
        given, template = details.cleaned_data, self.template
        owner = self._owner(details)
        new = workspaces.NewWorkspace(
            name=given["name"],
            template_id=template.pk,
            autostart_schedule=given["schedule"],
            ttl_ms=given["ttl_ms"],
            never_stops=given["ttl_ms"] is None,
            rich_values=rich_given(answers),
            variables=variables_given(answers),
        )
        return workspaces.create(self.actor, template.organization, owner, new)

    def _owner(self, details: WorkspaceForm) -> User:
        """Return the user who gets the workspace. Raises Invalid on ``owner``."""
        name = details.cleaned_data.get("owner", "")
        if not name or name.lower() == self.actor.username.lower():
            return User.objects.get(pk=self.actor.id)
        members = User.objects.filter(deleted=False, memberships__organization=self.template.organization_id)
        owner = members.filter(username__iexact=name).first()
        if owner is None:
            raise Invalid.field("owner", f"The organization has no member {name!r}.")
        return owner

    def form_page(
        self,
        details: WorkspaceForm,
        form: ValuesForm,
        answers: Answers,
        problem: str = "",
        *,
        preset: Preset | None = None,
        status: int = 200,
    ) -> HttpResponseBase:
        version = self.template.active_version
        obstacle = obstacle_of(version)
        if self.template.deprecated:
            obstacle = f"The template is deprecated: {self.template.deprecation_message}"
        context = self.frame("New workspace") | values_context(self, form, answers)
        context |= {
            "form": details,
            "version": version,
            "problem": problem or obstacle,
            "may_build": not obstacle,
            "presets": self.presets,
            "preset": preset,
            "cost_note": quota.of_new(self.actor, version, self.template.organization_id),
            "sets": resource_sets(version, Transition.START),
            "form_url": creation_url(self.template),
            "check_url": creation_url(self.template, "check-new-workspace"),
        }
        response = self.show("workspaces/new_workspace.html", context, status=status)
        if self.request.method == "POST":  # the values can be secrets
            response["Cache-Control"] = "no-store"
        return response


class CheckNewWorkspace(CreationSection):
    """Returns the errors of all fields and the values of the build, while the form is filled in."""

    def post(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        form, details = self.values_form(), WorkspaceForm(request.POST, for_others=self.creates_for_others)
        owner = request.POST.get("owner", "") if self.creates_for_others else ""
        if details.is_valid() and _is_taken(details.cleaned_data["name"], owner or self.actor.username):
            details.add_error("name", TAKEN)
        answers = form.answers(request.POST, complete=False)
        context = {"answers": answers, "changes": [], "compared": False, "form": details, "is_update": True}
        return self.show("workspaces/_values_check.html", context)


def suggested_name(template_name: str, owner_id: uuid.UUID) -> str:
    """Return a name that the user has no workspace with: the template's, or that with a number."""
    taken = {name.lower() for name in _names_of(owner_id)}
    try:
        check_name(template_name)
    except ValidationError:
        template_name = "workspace"
    name, number = template_name, 1
    while name.lower() in taken:
        number += 1
        ending = f"-{number}"
        name = template_name[: NAME_LENGTH - len(ending)].rstrip("-") + ending
    return name


def _names_of(owner_id: uuid.UUID) -> list[str]:
    return list(Workspace.objects.existing().filter(owner=owner_id).values_list("name", flat=True))


def _is_taken(name: str, username: str) -> bool:
    owned = Workspace.objects.existing().filter(owner__username__iexact=username, owner__deleted=False)
    return owned.filter(name__iexact=name).exists()
