"""The form of parameters, checked while typing, and dry runs with its values."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.base.errors import NotFound
from coderproj.console.views import SignedInPage
from coderproj.identity.actor import Actor
from coderproj.identity.rbac import Action, Resource, allowed
from provisioning.models import JobStatus
from provisioning.pages.addresses import job_url
from templates_app.bounded import gone
from templates_app.models import TemplateVersion
from templates_app.pages.addresses import template_url, version_url
from templates_app.pages.base import TemplateSection, versions_of
from templates_app.pages.version import VersionSection
from templates_app.parameter_form import Answers, Field, answers_of, fields_of, initial, shown_of
from templates_app.rendering import Html, html_of
from templates_app.services import versions

# The newest versions are offered; the address accepts any.
OFFERED_VERSIONS = 200


class TemplateParameters(TemplateSection):
    """The form of the active version, or of the one in ``?version=``."""

    tab = "parameters"

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        version = chosen_version(self, request)
        fields = fields_of(version)
        context = {
            "names": version_names(self),
            "address": template_url(self.template, "template-parameters"),
            **form_context(self.actor, version, fields, initial(shown_of(fields)), html_for(self, version, fields)),
        }
        return self.show("templates_app/template_parameters.html", self.frame("Parameters") | context)


class VersionParameters(VersionSection):
    """The form of a version."""

    tab = "parameters"

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        fields = fields_of(self.version)
        return self.form_page(fields, initial(shown_of(fields)))

    def form_page(self, fields: Sequence[Field], answers: Answers, status: int = 200) -> HttpResponseBase:
        context = self.frame("Parameters") | form_context(
            self.actor, self.version, fields, answers, html_for(self, self.version, fields)
        )
        return self.show("templates_app/version_parameters.html", context, status=status)


class CheckParameters(VersionSection):
    """Returns the errors of the fields and the values that a build would get, while the form is filled in."""

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        fields = fields_of(self.version)
        answers = answers_of(shown_of(fields), request.POST, complete=False)
        context = form_context(self.actor, self.version, fields, answers) | {"is_update": True}
        return self.show("templates_app/_parameter_check.html", context)


class StartDryRun(VersionParameters):
    """Starts a dry run with the values of the form and redirects to the job. With errors, shows the form again."""

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        fields = fields_of(self.version)
        answers = answers_of(shown_of(fields), request.POST, complete=True)
        if answers.errors:
            return self.form_page(fields, answers, 400)
        job = versions.start_dry_run(self.actor, self.version, answers.dry_run_input())
        return self.go(job_url(job), f"A dry run of {self.version.name} is queued. Nothing will be built.")


def html_for(page: SignedInPage, version: TemplateVersion, fields: Sequence[Field]) -> Html:
    """Return the HTML of a version's texts for a page."""
    return html_of(version, fields, user=page.actor.id, is_gone=gone(page.request))


def form_context(
    actor: Actor, version: TemplateVersion, fields: Sequence[Field], answers: Answers, html: Html | None = None
) -> dict[str, Any]:
    """Return the context of ``_parameter_form.html``; ``html`` has the descriptions. No query."""
    may_try = allowed(
        actor, Action.CREATE, Resource.WORKSPACE, organization_id=version.organization_id, owner_id=actor.id
    )
    return {
        "version": version,
        "fields": fields,
        "descriptions": html.descriptions if html else {},
        "answers": answers,
        "left_out": len(fields) - len(answers.answers),
        "imported": version.job.status == JobStatus.SUCCEEDED,
        "may_try": may_try and version.job.status == JobStatus.SUCCEEDED,
        "check_url": version_url(version, "check-parameters"),
        "dry_run_url": version_url(version, "start-dry-run"),
    }


# ---------------------------------------------------------------------- choosing a version
def chosen_version(page: TemplateSection, request: HttpRequest) -> TemplateVersion:
    """Return the version in ``?version=``, else the active one. Raises NotFound."""
    name = request.GET.get("version", "")
    if not name:
        page.template.active_version.template = page.template
        return page.template.active_version
    version = versions_of(page.template).filter(name=name).first()
    if version is None:
        raise NotFound
    version.template = page.template
    return version


def version_names(page: TemplateSection) -> list[str]:
    """Return the names of the template's newest versions, newest first."""
    return list(versions_of(page.template).values_list("name", flat=True)[:OFFERED_VERSIONS])
