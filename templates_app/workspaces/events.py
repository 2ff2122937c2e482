"""Notify watchers of a workspace of a change."""

import uuid

from provisioning.notifications import notify
from templates_app.models import Template

# The payload is the workspace's id, or TEMPLATE and the id of a template that changed.
WORKSPACE_CHANNEL = "workspace"
TEMPLATE = "template:"


def announce(*workspace_ids: uuid.UUID) -> None:
    """Notify after the current transaction."""
    notify(*((WORKSPACE_CHANNEL, str(workspace_id)) for workspace_id in workspace_ids))


def announce_template(template: Template) -> None:
    """Notify watchers of workspaces of the template, after the current transaction."""
    notify((WORKSPACE_CHANNEL, f"{TEMPLATE}{template.pk}"))


OF_TEMPLATE = [announce_template]
