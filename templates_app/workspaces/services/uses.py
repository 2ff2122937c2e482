"""Answers to what lower apps ask before they delete: which workspaces still need a template, a user or
an organization."""

import uuid

from django.db import models

from coderproj.identity.models import Organization, User
from templates_app.models import Template
from templates_app.workspaces.models import Workspace

MAX_NAMED = 5


def of_template(template: Template) -> str:
    """Return a sentence about the workspaces of a template, empty if there are none."""
    return _sentence(Workspace.objects.existing().filter(template=template), "The template")


def of_user(user: User) -> str:
    """Return a sentence about the workspaces of a user, empty if there are none."""
    return _sentence(Workspace.objects.existing().filter(owner=user), "The user")


def of_organization(organization: Organization) -> str:
    """Return a sentence about the workspaces of an organization, empty if there are none."""
    return _sentence(Workspace.objects.existing().filter(organization=organization), "The organization")


def versions_of(template: Template) -> set[uuid.UUID]:
    """Return the versions that the last builds of existing workspaces have."""
    rows = Workspace.objects.existing().filter(template=template, latest_build__isnull=False)
    return set(rows.values_list("latest_build__template_version_id", flat=True))


def _sentence(rows: models.QuerySet[Workspace], what: str) -> str:
    count = rows.count()
    if not count:
        return ""
    owned = rows.order_by("name").values_list("owner__username", "name")[:MAX_NAMED]
    named = ", ".join(f"{owner}/{name}" for owner, name in owned)
    more = f" and {count - MAX_NAMED} more" if count > MAX_NAMED else ""
    noun = "workspace" if count == 1 else "workspaces"
    return f"{what} still has {count} {noun}: {named}{more}. Delete them first."


OF_TEMPLATE = [of_template]
OF_USER = [of_user]
OF_ORGANIZATION = [of_organization]
VERSIONS = [versions_of]
