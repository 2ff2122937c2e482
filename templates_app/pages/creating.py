"""Creating versions from an archive, a starter or the files of a failed import, and making a version a template."""

import tempfile
import uuid
from abc import ABC, abstractmethod
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

from coderproj.base.errors import DomainError, Forbidden, NotFound, TooManyRequests
from coderproj.console.forms import ConsoleForm
from coderproj.console.views import SignedInPage
from coderproj.identity.limits import upload_allowed
from coderproj.identity.models import Organization
from coderproj.identity.organizations import visible_organizations
from coderproj.identity.rbac import Action, Resource, allowed
from provisioning import parameters
from provisioning.files import archive, stored
from provisioning.models import ParameterSchema
from templates_app import starters
from templates_app.models import TemplateVersion
from templates_app.pages.addresses import template_url, version_url
from templates_app.pages.base import TEMPLATES, TemplateSection
from templates_app.pages.listing import may_create_somewhere
from templates_app.pages.naming import NameForm
from templates_app.pages.version import VersionSection
from templates_app.services import access, templates, versions

SPOOL_BYTES = 4 * 1024 * 1024
ENDINGS = (".tar.gz", ".tgz", ".tar", ".zip")


class UploadForm(ConsoleForm):
    file = forms.FileField(
        label="Archive",
        help_text="A tar or zip of a folder with Terraform configuration.",
        widget=forms.FileInput({"accept": ".tar,.zip,application/x-tar,application/zip"}),
        required=False,
    )
    starter = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)
    message = forms.CharField(
        label="Message", max_length=1024, required=False, help_text="What is new in this version."
    )
    tags = forms.CharField(
        label="Daemon tags",
        max_length=512,
        required=False,
        help_text="key=value, separated by spaces. Only a daemon with these tags imports the version.",
    )

    def clean_tags(self) -> dict[str, str]:
        """Tags by key."""
        tags = {}
        for word in self.cleaned_data["tags"].split():
            key, equals, value = word.partition("=")
            if not (key and equals and value):
                raise forms.ValidationError(f"{word!r} does not have the form key=value.")
            tags[key] = value
        return tags

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not given.get("file") and not given.get("starter") and "file" not in self.errors:
            self.add_error("file", "Choose an archive or a starter.")
        return given


class Uploading(SignedInPage, ABC):
    """Accepts an archive and queues its import. The page's script, which shows the progress, requests JSON."""

    def create(self, form: UploadForm, organization: Organization, template_id: uuid.UUID | None) -> TemplateVersion:
        """Create the version from the form. Raises DomainError."""
        given = form.cleaned_data
        source = versions.Source(starter=given["starter"])
        if given["file"]:
            if not upload_allowed(self.actor.id):
                raise TooManyRequests("Too many uploads: wait a minute.")
            source = versions.Source(file_id=self._store(given["file"]))
        return versions.create(
            self.actor,
            organization,
            versions.NewVersion(
                source=source, message=given["message"], template_id=template_id, tags=given.get("tags") or {}
            ),
        )

    def _store(self, upload: "UploadedFile[bytes]") -> uuid.UUID:
        """Check and store an archive. Raises DomainError with the problem."""
        if not stored.may_upload(self.actor):
            raise Forbidden
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES, dir=settings.FILE_UPLOAD_TEMP_DIR) as sink:
            checked = archive.check(upload, limit_bytes=settings.UPLOAD_MAX_BYTES, sink=sink)
            sink.seek(0)
            return stored.store_stream(self.actor, sink, size=checked.size, sha256=checked.sha256).file.pk

    def answer(self, url: str) -> HttpResponseBase:
        """Redirect to the version; the script gets the address as JSON."""
        return JsonResponse({"url": url}) if self._wants_json else self.go(url)

    def show_errors(self, form: UploadForm, error: DomainError | None = None) -> HttpResponseBase:
        """Show the errors in the form, or return them to the script."""
        if error is not None:
            form.show_error(error)
        status = error.status_code if error else 400
        if self._wants_json:
            texts = [str(text) for errors in form.errors.values() for text in errors]
            return JsonResponse({"errors": texts})  # the script shows them; the request itself succeeded
        return self.form_page(form, status)

    @abstractmethod
    def form_page(self, form: UploadForm, status: int = 200) -> HttpResponseBase:
        """Return the page with the form."""

    @property
    def _wants_json(self) -> bool:
        return "application/json" in self.request.META.get("HTTP_ACCEPT", "")


class NewTemplate(Uploading):
    """Creates the first version of a new template, which is named after the import."""

    section = "templates"
    organizations: list[Organization]

    def prepare(self, **route: Any) -> None:
        self.organizations = [
            row
            for row in visible_organizations(self.actor).order_by("-is_default", "name")
            if allowed(self.actor, Action.CREATE, Resource.TEMPLATE, organization_id=row.pk)
        ]
        if not self.organizations:
            raise Forbidden

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.form_page(UploadForm(initial={"starter": request.GET.get("starter", "")}))

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = UploadForm(request.POST, request.FILES)
        if not form.is_valid():
            return self.show_errors(form)
        try:
            version = self.create(form, self._organization(), None)
        except DomainError as error:
            return self.show_errors(form, error)
        starter = starters.find(form.cleaned_data["starter"]) if form.cleaned_data["starter"] else None
        suggestion = {"name": starter.slug if starter else _name_of(form.cleaned_data["file"])}
        if starter is not None:
            suggestion |= {
                "display_name": starter.name,
                "description": starter.description,
                "icon": starter.icon,
            }
        return self.answer(f"{version_url(version)}?{urlencode(suggestion)}")

    def form_page(self, form: UploadForm, status: int = 200) -> HttpResponseBase:
        chosen = starters.find(str(form["starter"].value() or ""))
        context = {
            "form": form,
            "starter": chosen,
            "starters": starters.starters(),
            "organizations": self.organizations,
            "organization": self._organization(),
            "trail": [TEMPLATES, ("New template", "")],
        }
        return self.show("templates_app/new_template.html", context, status=status)

    def _organization(self) -> Organization:
        name = self.request.POST.get("organization", "")
        return next((row for row in self.organizations if row.name == name), self.organizations[0])


class NewVersion(Uploading, TemplateSection):
    """Creates a version of a template. The active version does not change until the new one is promoted."""

    tab = "versions"

    def prepare(self, **route: str) -> None:
        super().prepare(**route)
        access.authorize(self.actor, Action.CREATE, self.template)

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        return self.form_page(UploadForm())

    def post(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        form = UploadForm(request.POST, request.FILES)
        if not form.is_valid():
            return self.show_errors(form)
        try:
            version = self.create(form, self.template.organization, self.template.pk)
        except DomainError as error:
            return self.show_errors(form, error)
        version.template = self.template
        return self.answer(version_url(version))

    def form_page(self, form: UploadForm, status: int = 200) -> HttpResponseBase:
        context = self.frame("New version") | {"form": form}
        return self.show("templates_app/new_version.html", context, status=status)


class RetryVersion(VersionSection):
    """Imports the same files again as a new version, with values for variables of the import. The page exists only
    where the page of the version links to it."""

    def prepare(self, **route: Any) -> None:
        super().prepare(**route)
        if not self.manages:
            raise Forbidden
        if not self.retry_url():
            raise NotFound

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        return self._form_page(ConsoleForm())

    def _form_page(self, form: ConsoleForm, status: int = 200) -> HttpResponseBase:
        """Return the page with the submitted values; ``form`` has their errors."""
        sent = self.request.POST
        context = {
            "form": form,
            "variables": [(schema, sent.get(f"value-{schema.name}", "")) for schema in self._variables()],
            "first_line": self.version.job.error.partition("\n")[0],
        }
        response = self.show("templates_app/retry.html", self.frame("Retry") | context, status=status)
        if sent:  # the values can be secrets
            response["Cache-Control"] = "no-store"
        return response

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        old, template = self.version, self.version.template
        values = tuple(
            parameters.GivenValue(name=schema.name, source_value=request.POST[f"value-{schema.name}"])
            for schema in self._variables()
            if request.POST.get(f"value-{schema.name}")
        )
        new = versions.NewVersion(
            source=versions.Source(file_id=old.job.file_id),
            message=old.message or f"Retry of {old.name}",
            template_id=template.pk if template is not None and not template.deleted else None,
            provisioner=old.job.provisioner,
            tags=old.job.tags,
            values=values,
        )
        try:
            version = versions.create(self.actor, old.organization, new)
        except Forbidden:
            raise
        except DomainError as error:
            form = ConsoleForm({})
            form.show_error(error)
            return self._form_page(form, error.status_code)
        version.template = template
        suggested = self.suggested()
        address = f"{version_url(version)}?{urlencode(suggested)}" if suggested else version_url(version)
        return self.go(address, f"The files of {old.name} are being imported again.")

    def _variables(self) -> list[ParameterSchema]:
        return list(ParameterSchema.objects.filter(job=self.version.job).order_by("index"))


class CreateTemplate(VersionSection):
    """Makes a version a template, with the name from the form on its page."""

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        version = self.version
        form = NameForm(request.POST)
        if version.template_id is not None:
            raise NotFound
        if form.is_valid():
            try:
                template = templates.create(
                    self.actor, version.organization, version_id=version.pk, fields=form.cleaned_data
                )
            except DomainError as error:
                form.show_error(error)
            else:
                message = f"{template.name} is created. All members of {version.organization.name} can use it."
                return self.go(template_url(template), message)
        return self.show("templates_app/name_template.html", self.frame("Name") | {"naming": form}, status=400)


class StartersPage(SignedInPage):
    """The bundled starter templates."""

    section = "starters"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        everything = starters.starters()
        tag = request.GET.get("tag", "")
        context = {
            "starters": [starter for starter in everything if not tag or tag in starter.tags],
            "tags": sorted({name for starter in everything for name in starter.tags}),
            "tag": tag,
            "read_only": not may_create_somewhere(self.actor),
        }
        return self.show("templates_app/starters.html", context)


def _name_of(upload: "UploadedFile[bytes] | None") -> str:
    """Return a suggested name: the file name without its extension, as a valid template name."""
    name = (upload.name or "") if upload else ""
    ending = next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")
    words = "".join(char if char.isascii() and char.isalnum() else " " for char in name.removesuffix(ending)).split()
    return "-".join(words)[:32].strip("-").lower()
