"""The addresses of the pages of workspaces and builds."""

from coderproj.console.addresses import page_url
from templates_app.models import Template
from templates_app.workspaces.models import Workspace, WorkspaceBuild


def workspace_url(workspace: Workspace, route: str = "workspace") -> str:
    """Return the address of a workspace's page, or of another of its routes. Needs the workspace's owner.

    The name of a deleted workspace can be used again, so its page and those of its builds have addresses by ID.
    """
    if workspace.deleted:
        return page_url(f"{route}-by-id", str(workspace.pk))
    return page_url(route, workspace.owner.username, workspace.name)


def build_url(build: WorkspaceBuild, route: str = "workspace-build") -> str:
    """Return the address of a build's page, or of another of its routes. Needs the workspace and its owner."""
    workspace, number = build.workspace, str(build.build_number)
    if workspace.deleted:
        return page_url(f"{route}-by-id", str(workspace.pk), number)
    return page_url(route, workspace.owner.username, workspace.name, number)


def creation_url(template: Template, route: str = "new-workspace") -> str:
    """Return the address at which workspaces are created from a template. Needs the template's organization."""
    return page_url(route, template.organization.name, template.name)
