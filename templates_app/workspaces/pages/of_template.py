"""The workspaces of a template: a tab and a button of its pages, and their number before a promotion."""

import uuid
from collections.abc import Mapping
from typing import Any

from django.db.models import Count
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.console.paging import slice_of
from coderproj.identity.actor import Actor
from coderproj.identity.rbac import Action, Resource, allowed
from templates_app.models import Template
from templates_app.pages.base import Tab, TemplateAction, TemplateSection
from templates_app.workspaces.models import BuildStatus, Workspace, build_status_expression
from templates_app.workspaces.pages.addresses import creation_url
from templates_app.workspaces.pages.listing import PAGE_SIZE, ordered, table


class TemplateWorkspaces(TemplateSection):
    """The visible workspaces of a template: members see their own ones."""

    tab = "workspaces"

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        rows = Workspace.objects.visible(self.actor).existing().filter(template=self.template)
        found = slice_of(request, ordered(rows), PAGE_SIZE)
        context = self.frame("Workspaces") | {"workspaces": table(found.rows), "slice": found}
        return self.show("workspaces/template_workspaces.html", context)


def running_by_version(template: Template) -> Mapping[uuid.UUID, int]:
    """Return the number of running workspaces of each version of the template that has any. One query."""
    rows = Workspace.objects.existing().filter(template=template)
    rows = rows.alias(status=build_status_expression("latest_build__")).filter(status=BuildStatus.RUNNING)
    return dict(rows.order_by().values_list("latest_build__template_version").annotate(Count("pk")))


def may_create(actor: Actor, organization_id: uuid.UUID) -> bool:
    """Return True if the actor may create workspaces of their own in the organization."""
    return allowed(actor, Action.CREATE, Resource.WORKSPACE, organization_id=organization_id, owner_id=actor.id)


RUNNING = [running_by_version]
TABS = [Tab("workspaces", "Workspaces", "template-workspaces")]
ACTIONS = [TemplateAction("New workspace", "plus", creation_url, may_create)]
