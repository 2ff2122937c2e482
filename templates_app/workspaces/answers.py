"""Rows with everything that the serializers of answers read: for writes, and for lists without a compiled read."""

from typing import Any

from django.db.models import Prefetch

from provisioning.models import WorkspaceAgent, WorkspaceResource
from templates_app.workspaces.models import Workspace, WorkspaceBuild, WorkspaceBuildQuerySet, WorkspaceQuerySet
from templates_app.workspaces.serializers.answers import BuildAgentSerializer, BuildResourceSerializer


def workspaces_for_answers(rows: WorkspaceQuerySet) -> WorkspaceQuerySet:
    """Return the workspaces with everything that ``WorkspaceSerializer`` reads."""
    return (
        rows.select_related(
            "owner",
            "template",
            "latest_build__workspace__owner",
            "latest_build__job",
            "latest_build__initiator",
            "latest_build__template_version",
        )
        .defer("latest_build__template_version__readme")
        .prefetch_related(_resources("latest_build__job__resources"))
    )


def builds_for_answers(rows: WorkspaceBuildQuerySet) -> WorkspaceBuildQuerySet:
    """Return the builds with everything that ``WorkspaceBuildSerializer`` reads."""
    return (
        rows.select_related("workspace__owner", "job", "initiator", "template_version")
        .defer("template_version__readme")
        .prefetch_related(_resources("job__resources"))
    )


def _resources(lookup: str) -> Any:
    agents = WorkspaceAgent.objects.order_by(*BuildAgentSerializer.Meta.list_order).prefetch_related("apps")
    rows = WorkspaceResource.objects.order_by(*BuildResourceSerializer.Meta.list_order)
    return Prefetch(lookup, rows.prefetch_related("metadata", Prefetch("agents", agents)))


def workspace_for_answer(workspace: Workspace) -> Workspace:
    """Load a workspace again after a write, as a read would."""
    return workspaces_for_answers(Workspace.objects.filter(pk=workspace.pk)).get()


def build_for_answer(build: WorkspaceBuild) -> WorkspaceBuild:
    """Load a build again after a write, as a read would."""
    return builds_for_answers(WorkspaceBuild.objects.filter(pk=build.pk)).get()
