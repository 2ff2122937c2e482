"""The start page of people who administer nothing: their workspaces, and the templates that they may use."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from coderproj.console.views import SignedInPage
from coderproj.identity.actor import Actor
from coderproj.identity.models import User
from templates_app.models import Template
from templates_app.pages.base import actions_on
from templates_app.workspaces.models import Workspace
from templates_app.workspaces.pages import quota
from templates_app.workspaces.pages.listing import ordered, table

WORKSPACES_SHOWN = 20
TEMPLATES_SHOWN = 24


def start_page(actor: Actor) -> str:
    """Return the address of this page for users who administer nothing, empty for others. At most one query."""
    administers = bool(actor.site_roles) or any(actor.organization_roles.values())
    if administers or Template.objects.manageable(actor).exists():
        return ""
    return reverse("member-home")


class MemberHome(SignedInPage):
    """Own workspaces, and the templates to build others from. Every user can open it."""

    section = "home"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        own = Workspace.objects.visible(self.actor).existing().filter(owner=self.actor.id)
        rows = list(ordered(own)[: WORKSPACES_SHOWN + 1])
        templates = Template.objects.visible(self.actor).filter(organization__in=self.actor.organization_ids)
        found = list(templates.select_related("organization").order_by("name", "id")[: TEMPLATES_SHOWN + 1])
        context = {
            "workspaces": table(rows[:WORKSPACES_SHOWN], without=("Owner",)),
            "more_workspaces": len(rows) > WORKSPACES_SHOWN,
            "templates": [(template, actions_on(self.actor, template)) for template in found[:TEMPLATES_SHOWN]],
            "quotas": quota.rows_of(self.actor, User.objects.get(pk=self.actor.id)),
            "more_templates": len(found) > TEMPLATES_SHOWN,
        }
        return self.show("workspaces/home.html", context)


PAGES = [start_page]
