"""A version: its import, the results, and the possible actions."""

import uuid
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.base.bounded import PoolBusy, ShareUsedUp
from coderproj.base.errors import Forbidden, NotFound
from coderproj.console.questions import Question
from coderproj.console.views import SignedInPage
from coderproj.identity.rbac import Action, Resource, allowed
from provisioning.files import stored
from provisioning.models import JobStatus, ParameterSchema
from provisioning.pages.log import log_console
from provisioning.pages.parts import facts_answer, job_context, raw_log_answer, resources_of, source_context
from provisioning.queue.administration import is_cancelable
from templates_app.bounded import gone
from templates_app.models import TemplateVersion
from templates_app.models.templates import TemplateVersionQuerySet
from templates_app.pages.addresses import template_url, version_url
from templates_app.pages.base import TEMPLATES, Tab, is_promotable, promotion_of, running_workspaces
from templates_app.pages.naming import NameForm
from templates_app.preview import preview_of_file
from templates_app.services import versions
from templates_app.tasks.preview import Preview

# Tabs of a version, in the order of the page. Their pages derive from ``VersionSection``.
TABS = [
    Tab("import", "Import", "version"),
    Tab("changes", "Changes", "version-changes"),
    Tab("parameters", "Parameters", "version-parameters"),
    Tab("resources", "Resources", "version-resources"),
    Tab("files", "Files", "version-files", source=True),
    Tab("settings", "Settings", "version-settings", managers=True),
]


class VersionSection(SignedInPage):
    """A page about one visible version: ``self.version``, ``self.manages``, and ``self.reads_source`` if the actor may
    read its files."""

    section = "templates"
    tab = ""
    version: TemplateVersion
    manages: bool

    def prepare(self, **route: Any) -> None:
        rows = (
            TemplateVersion.objects.visible(self.actor)
            .select_related(
                "job__initiator",
                "job__file",
                "created_by",
                "organization",
                "template__organization",
                "template__active_version__created_by",
            )
            .defer("job__file__data")
        )
        version = _find(rows, **route)
        if version is None:
            raise NotFound
        self.version = version
        self.manages = TemplateVersion.objects.manageable(self.actor).filter(pk=version.pk).exists()

    def frame(self, here: str = "") -> dict[str, Any]:
        """Return the context of the version's head and tabs; ``here`` is the last part of the breadcrumbs."""
        version = self.version
        template = version.template
        may = {"manages": self.manages, "reads_source": self.reads_source}
        trail = [TEMPLATES]
        if template is not None and not template.deleted:
            trail.append((template.display_name or template.name, template_url(template)))
        trail.append((version.name, version_url(version) if here else ""))
        return {
            "version": version,
            "template": template,
            "manages": self.manages,
            "trail": [*trail, *([(here, "")] if here else [])],
            "tab": self.tab,
            "tabs": [
                (tab.key, tab.label, version_url(version, tab.route))
                for tab in TABS
                if tab.is_for(self.actor, version.organization_id, **may)
            ],
        } | self._actions()

    def _actions(self) -> dict[str, Any]:
        """Return the actions that are possible in the version's state and allowed."""
        version, job, template = self.version, self.version.job, self.version.template
        in_use = template is not None and not template.deleted
        is_active = in_use and template is not None and template.active_version_id == version.pk
        return {
            "is_active": is_active,
            "cancellation": cancellation_of(version) if self.manages and is_cancelable(job) else None,
            "promotion": (
                promotion_of(template, version, running_workspaces(template))
                if template is not None and in_use and self.manages and not is_active and is_promotable(version)
                else None
            ),
            "retry_url": self.retry_url(),
            "source_url": f"/api/v2/files/{job.file_id}" if self.reads_source else "",
        }

    def retry_url(self) -> str:
        """Return the page that imports the same files again. Empty unless the import failed or was canceled and
        retrying is allowed."""
        job = self.version.job
        ended_badly = job.completed_at is not None and job.status != JobStatus.SUCCEEDED
        if not (self.manages and ended_badly and self.reads_source):
            return ""
        suggested = self.suggested()
        address = version_url(self.version, "retry")
        return f"{address}?{urlencode(suggested)}" if suggested else address

    def suggested(self) -> dict[str, str]:
        """Return the values that the address suggests for the new template, cut to the lengths of the fields. Empty for
        a version with a template."""
        if self.version.template_id is not None:
            return {}
        fields: dict[str, Any] = NameForm.base_fields
        given = {name: self.request.GET.get(name, "")[: field.max_length] for name, field in fields.items()}
        return {name: value for name, value in given.items() if value}

    @property
    def reads_source(self) -> bool:
        """True if the version has source files and the actor may read them."""
        return stored.source_of(self.actor, self.version.job) is not None


def _find(
    rows: TemplateVersionQuerySet,
    *,
    id: uuid.UUID | None = None,  # noqa: A002 - the route's name
    organization: str = "",
    template: str = "",
    version: str = "",
) -> TemplateVersion | None:
    """Find a version by ID, or by the names of organization, template and version."""
    if id is not None:
        return rows.filter(pk=id).first()
    named = rows.filter(
        template__organization__name__iexact=organization,
        template__name__iexact=template,
        template__deleted=False,
        name=version,
    )
    return named.first()


class VersionPage(VersionSection):
    tab = "import"

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        version, job = self.version, self.version.job
        address = version_url(version)
        if request.path != address and "id" in route:
            return self.go(f"{address}?{request.GET.urlencode()}" if request.GET else address)
        if facts := facts_answer(self, job):
            return facts
        follow = f"/api/v2/templateversions/{version.pk}/logs"
        context = self.frame() | job_context(job)
        context |= {
            "log": log_console(job, follow_url=follow, raw_url=version_url(version, "version-log")),
            "resources": resources_of(job) if job.completed_at else [],
            "schemas": list(ParameterSchema.objects.filter(job=job)),
            "rich_parameters": list(version.rich_parameters.order_by("index")),
            "naming": self._naming(),
            "preview": self._preview(),
            "address": address,
        }
        if self.reads_source:
            context |= source_context(job, version_url(version, "version-files"))
        return self.show("templates_app/version.html", context)

    def _preview(self) -> Preview | None:
        """Return a preview from the files until the import has ended, if the actor may read them."""
        job = self.version.job
        if job.completed_at is not None or job.file_id is None or not self.reads_source:
            return None
        try:
            return preview_of_file(job.file_id, user=self.actor.id, is_gone=gone(self.request))
        except (PoolBusy, ShareUsedUp):
            return None

    def _naming(self) -> NameForm | None:
        """Return the form that makes the version a template, or None if it has one or the actor may not create one."""
        version = self.version
        may_create = allowed(self.actor, Action.CREATE, Resource.TEMPLATE, organization_id=version.organization_id)
        ended_well = version.job.completed_at is None or version.job.status == JobStatus.SUCCEEDED
        if version.template_id is not None or not may_create or not ended_well:
            return None
        return NameForm(initial=self.suggested())


class CancelVersion(VersionSection):
    """Asks for confirmation, and cancels the import. Returns 404 if it has ended or is being canceled; if it ends
    during the question, the service's error is shown."""

    def prepare(self, **route: Any) -> None:
        super().prepare(**route)
        if not self.manages:
            raise Forbidden

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        if not is_cancelable(self.version.job):
            raise NotFound
        context = {"question": cancellation_of(self.version)}
        return self.show("console/question.html", self.frame("Cancel") | context)

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        versions.cancel(self.actor, self.version)
        return self.go(version_url(self.version), "The import is being canceled.")


class VersionLogText(VersionSection):
    """The import's log as a text file."""

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        return raw_log_answer(self.version.job, self.version.name)


def cancellation_of(version: TemplateVersion) -> Question:
    """Return the question before an import is canceled."""
    template = version.template
    consequences = [f"{version.name} will not be usable. To import its files again, retry it."]
    if template is not None and not template.deleted:
        consequences.append(f"Developers still get {template.active_version.name}.")
    return Question(
        key=f"cancel-{version.pk}",
        url=version_url(version, "cancel-version"),
        action="Cancel",
        title=f"Cancel the import of {version.name}?",
        consequences=tuple(consequences),
        button="Cancel the import",
        back_url=version_url(version),
        back_label="Keep it running",
        danger=True,
    )
