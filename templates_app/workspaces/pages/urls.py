"""The addresses of the pages of workspaces. Those of deleted workspaces are by ID, because names can be used again."""

from collections.abc import Callable

from django.http.response import HttpResponseBase
from django.urls import URLPattern, path

from templates_app.workspaces.pages import (
    actions,
    build,
    creating,
    home,
    listing,
    naming,
    of_template,
    schedule,
    state,
    update,
    workspace,
)

WORKSPACE = "@<str:owner>/<str:workspace>"
TEMPLATE = "templates/<str:organization>/<str:template>"
BUILD = "/builds/<int:number>"


def kept(ending: str, view: Callable[..., HttpResponseBase], name: str) -> list[URLPattern]:
    """Return the two addresses of a page that deleted workspaces have as well; the one by ID is named ``…-by-id``."""
    return [
        path(f"{WORKSPACE}{ending}", view, name=name),
        path(f"workspaces/<uuid:workspace_id>{ending}", view, name=f"{name}-by-id"),
    ]


urlpatterns = [
    path("home", home.MemberHome.as_view(), name="member-home"),
    path("workspaces", listing.WorkspacesPage.as_view(), name="workspaces"),
    path("workspaces/builds/<uuid:build_id>", workspace.AnyBuild.as_view(), name="any-workspace-build"),
    *kept("", workspace.WorkspacePage.as_view(), "workspace"),
    *kept(BUILD, build.BuildPage.as_view(), "workspace-build"),
    *kept(f"{BUILD}/log.txt", build.BuildLogText.as_view(), "workspace-build-log"),
    *kept(f"{BUILD}/state", state.BuildStateFile.as_view(), "workspace-build-state"),
    path(f"{TEMPLATE}/workspaces", of_template.TemplateWorkspaces.as_view(), name="template-workspaces"),
    path(f"{TEMPLATE}/workspace", creating.NewWorkspace.as_view(), name="new-workspace"),
    path(f"{TEMPLATE}/workspace/check", creating.CheckNewWorkspace.as_view(), name="check-new-workspace"),
    path(f"{WORKSPACE}/start", actions.StartWorkspace.as_view(), name="start-workspace"),
    path(f"{WORKSPACE}/stop", actions.StopWorkspace.as_view(), name="stop-workspace"),
    path(f"{WORKSPACE}/delete", actions.DeleteWorkspace.as_view(), name="delete-workspace"),
    path(f"{WORKSPACE}/cancel", actions.CancelBuild.as_view(), name="cancel-workspace-build"),
    path(f"{WORKSPACE}/state", state.PushState.as_view(), name="push-state"),
    path(f"{WORKSPACE}/rename", naming.RenameWorkspace.as_view(), name="rename-workspace"),
    path(f"{WORKSPACE}/update", update.UpdateWorkspace.as_view(), name="update-workspace"),
    path(f"{WORKSPACE}/update/check", update.CheckUpdate.as_view(), name="check-update"),
    path(f"{WORKSPACE}/schedule", schedule.SchedulePage.as_view(), name="workspace-schedule"),
    path(f"{WORKSPACE}/schedule/check", schedule.CheckSchedule.as_view(), name="check-schedule"),
    path(f"{WORKSPACE}/extend", schedule.ExtendWorkspace.as_view(), name="extend-workspace"),
]
