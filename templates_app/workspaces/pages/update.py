"""Build a workspace with another version or with other values: what will change, and the form of the parameters."""

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.http import urlencode

from coderproj.base.errors import DomainError, Forbidden, NotFound
from coderproj.console.views import SignedInPage
from provisioning.engine.base import Transition
from templates_app.models import TemplateVersion
from templates_app.pages.addresses import version_url
from templates_app.pages.base import versions_of
from templates_app.pages.trying import OFFERED_VERSIONS, html_for
from templates_app.parameter_form import Answers
from templates_app.workspaces.models import BuildStatus, WorkspaceBuild
from templates_app.workspaces.pages import quota
from templates_app.workspaces.pages.addresses import workspace_url
from templates_app.workspaces.pages.base import BUSY, ChangeSection
from templates_app.workspaces.pages.values_form import (
    ValuesForm,
    change_form,
    rich_given,
    variables_given,
    with_errors,
)
from templates_app.workspaces.services import access, builds, values


class UpdateSection(ChangeSection):
    """A page about a start of the workspace with the version ``self.version``: the active one, or that in
    ``?version=``."""

    version: TemplateVersion
    build: WorkspaceBuild

    def prepare(self, **route: Any) -> None:
        super().prepare(**route)
        if self.latest is None:
            raise NotFound
        self.build = self.latest
        template = self.workspace.template
        name = self.request.GET.get("version", "")
        version = (
            versions_of(template).filter(**({"name": name} if name else {"pk": template.active_version_id})).first()
        )
        if version is None:
            raise NotFound
        version.template = template
        self.version = version

    def values_form(self) -> ValuesForm:
        return change_form(self.workspace, self.build, self.version)

    def route_url(self, route: str) -> str:
        """Return the address of one of the pages about this version."""
        return f"{workspace_url(self.workspace, route)}?{urlencode({'version': self.version.name})}"


class UpdateWorkspace(UpdateSection):
    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        form = self.values_form()
        return self.form_page(form, form.initial())

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        form = self.values_form()
        answers = form.answers(request.POST, complete=True)
        if answers.errors:
            return self.form_page(form, answers, status=400)
        new = builds.NewBuild(
            Transition.START,
            version_id=self.version.pk,
            rich_values=rich_given(answers),
            variables=variables_given(answers),
        )
        try:
            builds.create(self.actor, self.workspace, new)
        except (Forbidden, NotFound, access.WorkspaceGone):
            raise
        except values.InvalidValues as error:
            answers, texts = with_errors(answers, error)
            return self.form_page(form, answers, " ".join(texts), status=400)
        except DomainError as error:
            details = (problem.detail for problem in error.problems)
            problem = " ".join(filter(None, (error.message, error.detail, *details)))
            return self.form_page(form, answers, problem, status=error.status_code)
        return self.go(self.address)

    def form_page(
        self, form: ValuesForm, answers: Answers, problem: str = "", *, status: int = 200
    ) -> HttpResponseBase:
        version, build = self.version, self.build
        other = version.pk != build.template_version_id
        context = self.frame("Update" if other else "Change")
        compare_url = ""
        if other and context["template_url"]:
            query = urlencode({"with": build.template_version.name})
            compare_url = f"{version_url(version, 'version-changes')}?{query}"
        context |= values_context(self, form, answers) | {
            "version": version,
            "other": other,
            "names": self._names(),
            "compare_url": compare_url,
            "problem": problem or self._obstacle(),
            "may_build": not self._obstacle(),
            "cost_note": quota.of_start(self.actor, self.workspace, version),
            "running": self.status == BuildStatus.RUNNING,
            "form_url": self.route_url("update-workspace"),
            "check_url": self.route_url("check-update"),
            "choose_url": workspace_url(self.workspace, "update-workspace"),
        }
        response = self.show("workspaces/update.html", context, status=status)
        if self.request.method == "POST":  # the values can be secrets
            response["Cache-Control"] = "no-store"
        return response

    def _names(self) -> list[str]:
        names = versions_of(self.workspace.template).usable().values_list("name", flat=True)
        return list(names[:OFFERED_VERSIONS])

    def _obstacle(self) -> str:
        """Return why the version cannot be built now, empty if it can."""
        if self.is_busy:
            return BUSY
        return obstacle_of(self.version)


class CheckUpdate(UpdateSection):
    """Returns the errors of the fields, the values of the build and what it changes, while the form is filled in."""

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        form = self.values_form()
        answers = form.answers(request.POST, complete=False)
        context = {"answers": answers, "changes": form.changes(answers), "compared": True, "is_update": True}
        return self.show("workspaces/_values_check.html", context)


def obstacle_of(version: TemplateVersion) -> str:
    """Return why a version cannot be built, empty if it can."""
    try:
        builds.require_buildable(version, Transition.START)
    except DomainError as error:
        details = (problem.detail for problem in error.problems)
        return " ".join(filter(None, (error.message, error.detail, *details)))
    return ""


def values_context(page: SignedInPage, form: ValuesForm, answers: Answers) -> dict[str, Any]:
    """Return the context of ``_values_form.html``. At most one query."""
    return {
        "answers": answers,
        "fields": form.fields,
        "left_out": len(form.fields) - len(answers.answers),
        "descriptions": html_for(page, form.version, form.fields).descriptions,
        "changes": form.changes(answers),
        "compared": form.kept is not None,
    }
