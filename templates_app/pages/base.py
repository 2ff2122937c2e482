"""The shared parts of the pages of a template: lookup, head, tabs, and versions in lists."""

import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from coderproj.base.contributions import contributions
from coderproj.base.errors import NotFound
from coderproj.console.questions import Question
from coderproj.console.templatetags.console import age
from coderproj.console.views import SignedInPage
from coderproj.identity.actor import Actor
from coderproj.identity.rbac import Action, Resource, allowed, allowed_everywhere
from templates_app.models import Template, TemplateVersion
from templates_app.models.templates import TemplateVersionQuerySet
from templates_app.pages.addresses import template_url, version_url

TEMPLATES = ("Templates", "/templates")


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab of a template or version. ``route`` is the name of its address. With ``managers`` only managers see it,
    with ``source`` only actors who may read the files; ``offered(actor, organization_id)`` can restrict it as well."""

    key: str
    label: str
    route: str
    managers: bool = False
    source: bool = False
    offered: Callable[[Actor, uuid.UUID], bool] | None = None

    def is_for(self, actor: Actor, organization_id: uuid.UUID, *, manages: bool, reads_source: bool = False) -> bool:
        """Return True if the actor sees the tab."""
        if (self.managers and not manages) or (self.source and not reads_source):
            return False
        return self.offered is None or self.offered(actor, organization_id)


def reads_audit_log(actor: Actor, organization_id: uuid.UUID) -> bool:
    """Return True if the actor may read the audit log of the organization."""
    return allowed(actor, Action.READ, Resource.AUDIT_LOG, organization_id=organization_id)


# In the order of the page. Their pages derive from ``TemplateSection``.
TABS = [
    Tab("overview", "Overview", "template"),
    Tab("versions", "Versions", "template-versions"),
    Tab("parameters", "Parameters", "template-parameters"),
    Tab("resources", "Resources", "template-resources"),
    Tab("insights", "Insights", "template-insights"),
    Tab("permissions", "Permissions", "template-permissions"),
    Tab("audit", "Audit", "template-audit", offered=reads_audit_log),
    Tab("settings", "Settings", "template-settings", managers=True),
]


@dataclass(frozen=True, slots=True)
class TemplateAction:
    """A button of templates that another app contributes: on their pages and in their list. ``url`` returns the page,
    ``offered(actor, organization_id)`` if the actor may use it."""

    label: str
    icon: str
    url: Callable[[Template], str]
    offered: Callable[[Actor, uuid.UUID], bool]


@dataclass(frozen=True, slots=True)
class ActionLink:
    """An action on one template."""

    label: str
    icon: str
    url: str


def actions_on(actor: Actor, template: Template) -> list[ActionLink]:
    """Return the contributed actions that are offered on a template. No query."""
    actions: tuple[TemplateAction, ...] = contributions("template_actions")
    return [
        ActionLink(action.label, action.icon, action.url(template))
        for action in actions
        if action.offered(actor, template.organization_id)
    ]


def tabs() -> list[Tab]:
    """Return the tabs of a template. Those of other apps follow the overview."""
    return [*TABS[:1], *contributions("template_tabs"), *TABS[1:]]


def find_template(actor: Actor, organization: str, name: str) -> Template:
    """Return the visible template of that organization and name, ignoring case. Raises NotFound."""
    templates = Template.objects.visible(actor).select_related("organization", "active_version__job", "created_by")
    template = templates.filter(organization__name__iexact=organization, name__iexact=name).first()
    if template is None:
        raise NotFound
    return template


def manages(actor: Actor, template: Template, action: Action = Action.UPDATE) -> bool:
    """Return True if the actor may do this with the template."""
    if allowed_everywhere(actor, action, Resource.TEMPLATE):
        return True
    return Template.objects.manageable(actor, action).filter(pk=template.pk).exists()


class TemplateSection(SignedInPage):
    """A page of a template: ``self.template``, and ``self.manages`` if the actor may change it."""

    section = "templates"
    # The key of the tab that is marked as current.
    tab = ""
    template: Template
    manages: bool

    def prepare(self, **route: str) -> None:
        self.template = find_template(self.actor, route["organization"], route["template"])
        self.manages = manages(self.actor, self.template)

    def frame(self, here: str = "") -> dict[str, Any]:
        """Return the context of the template's head and tabs; ``here`` is the last part of the breadcrumbs."""
        template = self.template
        name = template.display_name or template.name
        own = template_url(template)
        return {
            "template": template,
            "template_name": name,
            "manages": self.manages,
            "trail": [TEMPLATES, (name, own if here else ""), *([(here, "")] if here else [])],
            "tab": self.tab,
            "template_actions": actions_on(self.actor, template),
            "tabs": [
                (tab, own if tab.route == "template" else template_url(template, tab.route))
                for tab in tabs()
                if tab.is_for(self.actor, template.organization_id, manages=self.manages)
            ],
        }


# ---------------------------------------------------------------------- versions in lists
@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version in a list. ``promotion`` is the question before it becomes active; None if promoting is not offered."""

    version: TemplateVersion
    url: str
    is_active: bool
    promotion: Question | None


def versions_of(template: Template) -> TemplateVersionQuerySet:
    """Return the template's versions with their imports and authors, newest first."""
    rows = TemplateVersion.objects.filter(template=template).select_related("job", "created_by").defer("readme")
    return rows.order_by("-created_at", "-id")


def version_rows(template: Template, versions: Any, *, manages: bool) -> list[VersionRow]:
    """Return the rows of a list of the template's versions."""
    running = running_workspaces(template) if manages else {}
    return [version_row(template, version, running, manages=manages) for version in versions]


def version_row(
    template: Template, version: TemplateVersion, running: Mapping[uuid.UUID, int], *, manages: bool
) -> VersionRow:
    version.template = template
    is_active = version.pk == template.active_version_id
    offered = manages and not is_active and is_promotable(version)
    question = promotion_of(template, version, running) if offered else None
    return VersionRow(version, version_url(version), is_active, question)


def running_workspaces(template: Template) -> Mapping[uuid.UUID, int]:
    """Return the number of running workspaces of each version that has any. One query of each app that knows them."""
    found: Counter[uuid.UUID] = Counter()
    for count in contributions("running_workspaces"):
        found.update(count(template))
    return found


def _of_others(count: int, active: TemplateVersion) -> str:
    """Return what a promotion means for the running workspaces of other versions."""
    if not count:
        return f"Workspaces built from {active.name} keep it until their owners update them."
    if count == 1:
        return "1 workspace runs on another version. It keeps that version until its owner updates it."
    return f"{count} workspaces run on other versions. They keep their versions until their owners update them."


def is_promotable(version: TemplateVersion) -> bool:
    """Return True if the version can become active: its import succeeded and it is not archived."""
    return version.job.status == "succeeded" and not version.archived


def promotion_of(template: Template, version: TemplateVersion, running: Mapping[uuid.UUID, int]) -> Question:
    """Return the question before the version becomes active. A version older than the active one is a rollback.
    ``running`` are the numbers of running workspaces by version."""
    active = template.active_version
    back = version.created_at < active.created_at
    author = version.created_by.username
    consequences = [
        f"New workspaces will be built from {version.name}, pushed {age(version.created_at)} by {author}.",
        _of_others(sum(count for id_, count in running.items() if id_ != version.pk), active),
    ]
    if not version.is_verified:
        consequences.append(
            "It was imported with stubs for unavailable parts: it supports dry runs, but cannot be applied."
        )
    return Question(
        key=f"promote-{version.pk}",
        url=version_url(version, "promote"),
        action="Roll back" if back else "Promote",
        title=f"Roll back to {version.name}?" if back else f"Make {version.name} active?",
        consequences=tuple(consequences),
        button=f"Roll back to {version.name}" if back else f"Promote {version.name}",
        back_url=template_url(template),
        back_label=f"Keep {active.name}",
    )
