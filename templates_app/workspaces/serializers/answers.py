"""Serializers of workspaces, their builds and resources."""

from functools import cache
from typing import Any

from django.db.models import BooleanField, Case, DateTimeField, F, OuterRef, Value, When
from django.db.models.functions import Coalesce
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from coderproj.api.serializers import AnswerSerializer, MomentField
from coderproj.base.times import ZERO_TIME, moment_text
from coderproj.reads.json_sql import JsonRow, ShortJsonList, Timestamp
from coderproj.reads.serializers import json_object
from provisioning.models import (
    AgentStatus,
    WorkspaceAgent,
    WorkspaceResource,
    agent_status,
    agent_status_expression,
    gone_at,
    gone_at_expression,
)
from provisioning.serializers.jobs import AgentSerializer, ProvisionerJobSerializer, ResourceSerializer
from templates_app.workspaces.models import (
    BuildParameter,
    BuildStatus,
    Workspace,
    WorkspaceBuild,
    build_status_expression,
)

# In the context of a serializer of builds: the lookup of the workspace in the query around.
OUTER_WORKSPACE = "outer_workspace"


class BuildAgentSerializer(AgentSerializer):
    """An agent of a workspace: it can connect. A disconnected one always has ``disconnected_at``: if it only fell
    silent, the time at which it was last seen."""

    disconnected_at = serializers.SerializerMethodField(allow_null=True)

    class Meta(AgentSerializer.Meta):
        list_order = ("position", "name", "id")

    @extend_schema_field(serializers.ChoiceField(choices=AgentStatus.choices))
    def get_status(self, agent: WorkspaceAgent) -> str:
        return agent_status(agent).value

    def sql_status(self, prefix: str) -> Case:  # type: ignore[override]
        return agent_status_expression(prefix)

    @extend_schema_field(MomentField(allow_null=True))
    def get_disconnected_at(self, agent: WorkspaceAgent) -> str | None:
        gone = gone_at(agent)
        return None if gone is None else moment_text(gone)

    def sql_disconnected_at(self, prefix: str) -> Timestamp:
        return Timestamp(gone_at_expression(prefix))


class BuildResourceSerializer(ResourceSerializer):
    """A resource of a workspace, in the order of the plan."""

    agents = BuildAgentSerializer(many=True)

    class Meta(ResourceSerializer.Meta):
        list_order: tuple[str, ...] = ("position", "id")  # type: ignore[assignment]  # another length


@cache
def resources_of_job(job_id: str) -> ShortJsonList:
    """Return the resources of the job whose id is in the outer query. Cached, because many reads contain it:
    expressions do not change."""
    rows = WorkspaceResource.objects.filter(job=OuterRef(job_id)).order_by(*BuildResourceSerializer.Meta.list_order)
    return ShortJsonList(rows.values_list(json_object(BuildResourceSerializer()), flat=True))


class WorkspaceBuildSerializer(AnswerSerializer):
    """``resources`` is empty until the build has succeeded. ``deadline`` is the time of the automatic stop, null for
    none."""

    workspace_name = serializers.CharField(source="workspace.name")
    workspace_owner_id = serializers.UUIDField(source="workspace.owner_id")
    workspace_owner_name = serializers.CharField(source="workspace.owner.username")
    template_version_name = serializers.CharField(source="template_version.name")
    initiator_name = serializers.CharField(source="initiator.username")
    job = ProvisionerJobSerializer()
    resources = BuildResourceSerializer(many=True, source="job.resources")
    status = serializers.ChoiceField(choices=BuildStatus.choices)

    class Meta:
        model = WorkspaceBuild
        fields = [
            "id",
            "created_at",
            "updated_at",
            "workspace_id",
            "workspace_name",
            "workspace_owner_id",
            "workspace_owner_name",
            "template_version_id",
            "template_version_name",
            "build_number",
            "transition",
            "initiator_id",
            "initiator_name",
            "job",
            "reason",
            "resources",
            "deadline",
            "status",
            "daily_cost",
        ]

    def of_workspace(self, prefix: str, field: str) -> F:
        """Return a column of the workspace, from the query around this one if that reads the workspace."""
        outer = self.context.get(OUTER_WORKSPACE)
        return F(f"{prefix}workspace__{field}") if outer is None else OuterRef(f"{outer}{field}")

    def sql_workspace_name(self, prefix: str) -> F:
        return self.of_workspace(prefix, "name")

    def sql_workspace_owner_id(self, prefix: str) -> F:
        return self.of_workspace(prefix, "owner_id")

    def sql_workspace_owner_name(self, prefix: str) -> F:
        return self.of_workspace(prefix, "owner__username")

    def sql_resources(self, prefix: str) -> ShortJsonList:
        return resources_of_job(f"{prefix}job_id")

    def sql_status(self, prefix: str) -> Case:
        return build_status_expression(prefix)


@cache
def latest_build_of(prefix: str) -> JsonRow:
    """Return the latest build of the workspace that the lookup leads to in the outer query. Cached as well."""
    build = WorkspaceBuild.objects.filter(pk=OuterRef(f"{prefix}latest_build_id")).order_by()
    serializer = WorkspaceBuildSerializer(context={OUTER_WORKSPACE: prefix})
    return JsonRow(build.values_list(json_object(serializer), flat=True))


class WorkspaceSerializer(AnswerSerializer):
    """A workspace with its latest build. ``outdated``: the build's version is not the template's active one.
    ``last_used_at`` is the zero time of year 1 for a workspace that was not used yet."""

    owner_name = serializers.CharField(source="owner.username")
    template_name = serializers.CharField(source="template.name")
    template_display_name = serializers.CharField(source="template.display_name")
    template_icon = serializers.CharField(source="template.icon")
    template_allow_user_cancel_workspace_jobs = serializers.BooleanField(
        source="template.allow_user_cancel_workspace_jobs"
    )
    latest_build = WorkspaceBuildSerializer()
    outdated = serializers.SerializerMethodField()
    last_used_at = serializers.SerializerMethodField()

    class Meta:
        model = Workspace
        fields = [
            "id",
            "created_at",
            "updated_at",
            "owner_id",
            "owner_name",
            "template_id",
            "template_name",
            "template_display_name",
            "template_icon",
            "template_allow_user_cancel_workspace_jobs",
            "latest_build",
            "outdated",
            "name",
            "autostart_schedule",
            "ttl_ms",
            "last_used_at",
        ]
        omit_absent = True
        omit_empty = ("autostart_schedule",)

    def sql_latest_build(self, prefix: str) -> JsonRow:
        return latest_build_of(prefix)

    def get_outdated(self, workspace: Workspace) -> bool:
        build = workspace.latest_build
        return build is not None and build.template_version_id != workspace.template.active_version_id

    def sql_outdated(self, prefix: str) -> Case:
        is_current = When(
            **{f"{prefix}latest_build__template_version_id": F(f"{prefix}template__active_version_id")},
            then=Value(False),
        )
        return Case(is_current, default=Value(True), output_field=BooleanField())

    @extend_schema_field(MomentField())
    def get_last_used_at(self, workspace: Workspace) -> str:
        return moment_text(workspace.last_used_at or ZERO_TIME)

    def sql_last_used_at(self, prefix: str) -> Timestamp:
        never = Value(ZERO_TIME, output_field=DateTimeField())
        return Timestamp(Coalesce(F(f"{prefix}last_used_at"), never))


@extend_schema_serializer(many=False)
class WorkspacesAnswer(serializers.Serializer[Any]):
    """A page of workspaces; ``count`` is the number of rows on all pages."""

    workspaces = WorkspaceSerializer(many=True)
    count = serializers.IntegerField()


class BuildParameterSerializer(AnswerSerializer):
    class Meta:
        model = BuildParameter
        fields = ["name", "value"]
        list_order = ("id",)
