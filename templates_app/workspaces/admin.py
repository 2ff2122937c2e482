"""Workspaces in the admin: machines write these rows, so the admin only shows them."""

from django.contrib import admin
from django.db.models import QuerySet

from coderproj.console.admin import ReadOnlyAdmin
from coderproj.identity.actor import Actor
from templates_app.workspaces.models import BuildParameter, Workspace, WorkspaceBuild
from templates_app.workspaces.pages.addresses import build_url, workspace_url


@admin.register(Workspace)
class WorkspaceAdmin(ReadOnlyAdmin[Workspace]):
    list_display = ["name", "owner", "template", "organization", "deleted", "last_used_at"]
    list_filter = ["deleted", "organization"]
    list_select_related = ["owner", "template", "organization"]
    search_fields = ["id", "name", "owner__username"]
    fields = [
        "name",
        "owner",
        "organization",
        "template",
        "deleted",
        "autostart_schedule",
        "schedule_set_at",
        "ttl_ms",
        "last_used_at",
        "latest_build",
        "due_at",
        "last_due_at",
        "failed_stops",
        "stop_tried_at",
        "created_at",
        "updated_at",
    ]
    owner_fields = frozenset(
        {"schedule_set_at", "due_at", "last_due_at", "failed_stops", "stop_tried_at", "deleted", "organization"}
    )

    def visible(self, actor: Actor) -> QuerySet[Workspace]:
        return Workspace.objects.visible(actor)

    def view_on_site(self, workspace: Workspace) -> str:
        return workspace_url(workspace)


@admin.register(WorkspaceBuild)
class WorkspaceBuildAdmin(ReadOnlyAdmin[WorkspaceBuild]):
    list_display = ["__str__", "workspace", "template_version", "reason", "initiator", "job", "created_at"]
    list_filter = ["transition", "reason"]
    list_select_related = ["workspace", "template_version", "initiator", "job"]
    search_fields = ["id", "workspace__name"]
    fields = [
        "workspace",
        "build_number",
        "transition",
        "reason",
        "template_version",
        "initiator",
        "job",
        "deadline",
        "daily_cost",
        "created_at",
        "updated_at",
    ]

    def visible(self, actor: Actor) -> QuerySet[WorkspaceBuild]:
        return WorkspaceBuild.objects.visible(actor)

    def view_on_site(self, build: WorkspaceBuild) -> str:
        return build_url(build)


@admin.register(BuildParameter)
class BuildParameterAdmin(ReadOnlyAdmin[BuildParameter]):
    list_display = ["name", "value", "build"]
    list_select_related = ["build"]
    search_fields = ["name"]
    fields = ["build", "name", "value"]

    def visible(self, actor: Actor) -> QuerySet[BuildParameter]:
        return BuildParameter.objects.filter(build__in=WorkspaceBuild.objects.visible(actor))
