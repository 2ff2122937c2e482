"""The settings of a template: its names and texts, autostop, and deletion."""

from decimal import Decimal
from typing import Any

from django import forms
from django.forms.models import model_to_dict
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.base.errors import DomainError
from coderproj.console.forms import ConsoleForm
from coderproj.identity.rbac import Action
from templates_app.models import Template
from templates_app.names import check_display_name, check_template_name
from templates_app.pages.addresses import template_url
from templates_app.pages.base import TemplateSection, manages
from templates_app.serializers.bodies import MAX_DEPRECATION
from templates_app.services import access, templates

HOUR_MS = 3_600_000
# The limit of the API, in hours.
MAX_HOURS = 2**63 // 10**6 // HOUR_MS
DESCRIPTION_LENGTH = 127
ICONS = ("docker", "k8s", "aws", "azure", "gcp", "do", "hetzner", "nvidia", "podman", "proxmox", "terraform")


def _switch(label: str, help_text: str) -> forms.BooleanField:
    widget = forms.CheckboxInput({"class": "switch", "role": "switch"})
    return forms.BooleanField(label=label, required=False, widget=widget, help_text=help_text)


class TemplateForm(ConsoleForm):
    name = forms.CharField(
        label="Name", max_length=32, validators=[check_template_name], help_text="Developers and scripts use this name."
    )
    display_name = forms.CharField(label="Display name", max_length=64, required=False, validators=[check_display_name])
    description = forms.CharField(
        label="Description",
        max_length=DESCRIPTION_LENGTH,
        required=False,
        help_text=f"A sentence of at most {DESCRIPTION_LENGTH} characters, shown in lists.",
    )
    icon = forms.CharField(
        label="Icon",
        max_length=256,
        required=False,
        help_text="A path such as /icon/docker.png. It is never fetched: the file name selects a built-in symbol.",
        widget=forms.TextInput({"list": "icons"}),
    )
    default_hours = forms.DecimalField(
        label="Autostop after, in hours",
        min_value=0,
        max_value=MAX_HOURS,
        decimal_places=2,
        help_text="How long a workspace runs after its start, unless its owner sets another time. 0: never stopped.",
    )
    allow_user_cancel_workspace_jobs = _switch(
        "Developers may cancel builds of their workspaces",
        "Canceling a running build can leave resources behind. Administrators can always cancel.",
    )
    allow_user_autostart = _switch(
        "Developers may schedule starts of their workspaces", "Without it, existing schedules start nothing."
    )
    allow_user_autostop = _switch(
        "Developers may change when their workspaces stop",
        "Without it, each start uses the time above, whatever the workspace says.",
    )
    require_active_version = _switch(
        "Starts use the active version",
        "A start of a workspace builds the active version. Those who may change the template can choose another one.",
    )
    deprecation_message = forms.CharField(
        label="Deprecated because",
        max_length=MAX_DEPRECATION,
        required=False,
        help_text="With a text here, no new workspaces are created, and lists and pages show it. Existing ones go on.",
    )

    # The fields of each section of the page, after the names and texts.
    SECTIONS = (
        ("Starts and stops", ("default_hours", "allow_user_autostart", "allow_user_autostop")),
        (
            "Versions and workspaces",
            ("require_active_version", "allow_user_cancel_workspace_jobs", "deprecation_message"),
        ),
    )

    def sections(self) -> list[tuple[str, list[forms.BoundField]]]:
        return [(title, [self[name] for name in names]) for title, names in self.SECTIONS]

    def changes(self, template: Template) -> dict[str, Any]:
        """Return the changed fields of the template. An unchanged duration is kept exactly."""
        given = dict(self.cleaned_data)
        hours = given.pop("default_hours")
        if hours != Decimal(hours_of(template)):
            given["default_ttl_ms"] = int(hours * HOUR_MS)
        return given


class DeleteForm(ConsoleForm):
    confirmation = forms.CharField(label="Name of the template", max_length=64)

    def __init__(self, template: Template, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.template = template
        self.fields["confirmation"].widget.attrs.update(autocomplete="off", spellcheck="false")

    def clean_confirmation(self) -> str:
        """Return the exact name. Raises ValidationError for anything else."""
        given = str(self.cleaned_data["confirmation"])
        if given != self.template.name:
            raise forms.ValidationError(f"Type {self.template.name} to delete it.")
        return given


class TemplateSettings(TemplateSection):
    """For actors who may change the template. Deleting has a separate form and permission."""

    tab = "settings"
    may_delete: bool

    def prepare(self, **route: str) -> None:
        super().prepare(**route)
        access.authorize(self.actor, Action.UPDATE, self.template)
        self.may_delete = manages(self.actor, self.template, Action.DELETE)

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        return self.form_page(TemplateForm(initial=self._initial()))

    def post(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        form = TemplateForm(request.POST)
        if not form.is_valid():
            return self.form_page(form, status=400)
        stored = reloaded(self.template)
        try:
            templates.update(self.actor, stored, form.changes(stored))
        except DomainError as error:
            form.show_error(error)
            return self.form_page(form, status=error.status_code)
        stored.organization = self.template.organization
        return self.go(template_url(stored, "template-settings"), "The settings are saved.")

    def form_page(
        self, form: TemplateForm, *, deletion: DeleteForm | None = None, status: int = 200
    ) -> HttpResponseBase:
        context = {
            "form": form,
            "deletion": (deletion or DeleteForm(self.template)) if self.may_delete else None,
            "icons": [f"/icon/{name}.png" for name in ICONS],
        }
        return self.show("templates_app/template_settings.html", self.frame("Settings") | context, status=status)

    def _initial(self) -> dict[str, Any]:
        stored = model_to_dict(self.template, TemplateForm.base_fields)
        return stored | {"default_hours": hours_of(self.template)}


class DeleteTemplate(TemplateSettings):
    """Deletes the template after the confirmation on the settings page."""

    def prepare(self, **route: str) -> None:
        super().prepare(**route)
        access.authorize(self.actor, Action.DELETE, self.template)

    def post(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        form = DeleteForm(self.template, request.POST)
        if not form.is_valid():
            return self.form_page(TemplateForm(initial=self._initial()), deletion=form, status=400)
        templates.delete(self.actor, self.template)
        return self.go("/templates", f"{self.template.name} is deleted. Its name can be used again.")


def hours_of(template: Template) -> str:
    """Return the hours until a workspace stops, with up to two decimals."""
    hours = Decimal(template.default_ttl_ms) / HOUR_MS
    return f"{hours.quantize(Decimal('0.01')).normalize():f}"


def reloaded(template: Template) -> Template:
    """Return the stored row: beside an error, a form shows the stored template, not the rejected values."""
    return Template.objects.existing().get(pk=template.pk)
