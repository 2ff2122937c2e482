"""The name and message of a version, and archiving it."""

from typing import Any

from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.base.errors import DomainError, Forbidden
from coderproj.console.forms import ConsoleForm
from templates_app.models import TemplateVersion
from templates_app.names import VERSION_NAME_LENGTH, VERSION_NAME_RULE, check_version_name
from templates_app.pages.addresses import version_url
from templates_app.pages.version import VersionSection
from templates_app.services import versions
from templates_app.services.archiving import set_archived


class VersionForm(ConsoleForm):
    name = forms.CharField(label="Name", max_length=VERSION_NAME_LENGTH, help_text=f"{VERSION_NAME_RULE.capitalize()}.")
    message = forms.CharField(
        label="Message",
        max_length=1024,
        required=False,
        widget=forms.Textarea({"rows": 3}),
        help_text="What is new in this version.",
    )

    def __init__(self, version: TemplateVersion, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.version = version

    def clean_name(self) -> str:
        """Return a valid name, or the current one. Raises ValidationError."""
        name = str(self.cleaned_data["name"])
        if name != self.version.name:
            check_version_name(name)
        return name


class VersionSettings(VersionSection):
    """For actors who may change the version."""

    tab = "settings"

    def prepare(self, **route: Any) -> None:
        super().prepare(**route)
        if not self.manages:
            raise Forbidden

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        version = self.version
        return self.form_page(VersionForm(version, initial={"name": version.name, "message": version.message}))

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        form = VersionForm(self.version, request.POST)
        if not form.is_valid():
            return self.form_page(form, 400)
        stored = TemplateVersion.objects.select_related("template__organization").get(pk=self.version.pk)
        try:
            versions.update(self.actor, stored, **form.cleaned_data)
        except DomainError as error:
            form.show_error(error)
            return self.form_page(form, error.status_code)
        return self.go(version_url(stored, "version-settings"), "The settings are saved.")

    def form_page(self, form: VersionForm, status: int = 200) -> HttpResponseBase:
        context = {"form": form, "archive_url": version_url(self.version, "archive-version")}
        return self.show("templates_app/version_settings.html", self.frame("Settings") | context, status=status)


class ArchiveVersion(VersionSection):
    """Archives the version, or unarchives it with ``archived=no``."""

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        archived = request.POST.get("archived") != "no"
        set_archived(self.actor, self.version, archived)
        name = self.version.name
        message = f"{name} is archived: it cannot be promoted." if archived else f"{name} can be promoted again."
        return self.go(version_url(self.version, "version-settings"), message)
