from templates_app.workspaces.models.builds import (
    BuildParameter,
    BuildReason,
    BuildState,
    BuildStatus,
    WorkspaceBuild,
    WorkspaceBuildQuerySet,
    build_status,
    build_status_expression,
)
from templates_app.workspaces.models.workspaces import Workspace, WorkspaceQuerySet

__all__ = [
    "BuildParameter",
    "BuildReason",
    "BuildState",
    "BuildStatus",
    "Workspace",
    "WorkspaceBuild",
    "WorkspaceBuildQuerySet",
    "WorkspaceQuerySet",
    "build_status",
    "build_status_expression",
]
