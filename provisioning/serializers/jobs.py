"""Serializers of jobs, their results and parameters."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db.models import Case, F, TextField, Value, When
from rest_framework import serializers

from coderproj.api.serializers import AnswerSerializer, BodySerializer, BodyUUIDField, MomentField, StrictTextField
from coderproj.reads.json_sql import Constant, FilledJson, StoredJson
from provisioning.engine.base import MAX_SHORT_TEXT, LogLevel, LogSource
from provisioning.models import (
    JobStatus,
    ParameterSchema,
    ProvisionerJob,
    WorkspaceAgent,
    WorkspaceApp,
    WorkspaceResource,
    WorkspaceResourceMetadata,
)
from provisioning.models.jobs import status_expression
from provisioning.models.parameters import DestinationScheme, SourceScheme
from provisioning.parameters import GivenValue


class UploadAnswer(serializers.Serializer[Any]):
    """``hash`` is the id of the stored file, by contract. ``left_out`` names links and working files that were left out
    of it; it is absent if there are none."""

    hash = serializers.UUIDField()
    left_out = serializers.ListField(child=serializers.CharField(), required=False)


class ProvisionerJobSerializer(AnswerSerializer):
    status = serializers.ChoiceField(choices=JobStatus.choices)

    class Meta:
        model = ProvisionerJob
        fields = [
            "id",
            "created_at",
            "started_at",
            "completed_at",
            "canceled_at",
            "error",
            "status",
            "worker_id",
            "file_id",
            "tags",
        ]
        omit_absent = True
        omit_empty = ("error",)

    def sql_status(self, prefix: str) -> Case:
        return status_expression(prefix)

    def sql_tags(self, prefix: str) -> StoredJson:
        # The values of tags are texts, so StoredJson leaves nothing out.
        return StoredJson(F(f"{prefix}tags"))


class LogSerializer(serializers.Serializer[Any]):
    """One line of a job's log; ``id`` is its number within the job, from 1."""

    id = serializers.IntegerField()
    created_at = MomentField()
    log_source = serializers.ChoiceField(choices=[(one.value, one.name) for one in LogSource])
    log_level = serializers.ChoiceField(choices=[(one.value, one.name) for one in LogLevel])
    stage = serializers.CharField()
    output = serializers.CharField()


class MetadataSerializer(AnswerSerializer):
    class Meta:
        model = WorkspaceResourceMetadata
        fields = ["key", "value", "sensitive", "instance_key"]
        omit_absent = True
        list_order = ("id",)


class HealthcheckSerializer(serializers.Serializer[Any]):
    """``interval`` is in seconds, ``threshold`` in failed checks."""

    url = serializers.CharField(source="healthcheck_url")
    interval = serializers.IntegerField(source="healthcheck_interval")
    threshold = serializers.IntegerField(source="healthcheck_threshold")


class AppSerializer(AnswerSerializer):
    healthcheck = HealthcheckSerializer(source="*")

    class Meta:
        model = WorkspaceApp
        fields = [
            "id",
            "url",
            "external",
            "slug",
            "display_name",
            "command",
            "icon",
            "subdomain",
            "sharing_level",
            "healthcheck",
            "health",
            "instance_key",
        ]
        omit_absent = True
        omit_empty = ("command", "icon")
        list_order = ("slug",)


AGENT_STATUS = "connecting"


class AgentSerializer(AnswerSerializer):
    """Agents of imports and dry runs are descriptions only: they never connect. The token is never shown.

    ``environment_variables`` is null for an agent without any. ``troubleshooting_url`` defaults to the deployment's.
    """

    status = serializers.SerializerMethodField()
    environment_variables = serializers.SerializerMethodField()
    troubleshooting_url = serializers.SerializerMethodField()
    instance_id = serializers.CharField(source="auth_instance_id", required=False)
    apps = AppSerializer(many=True)

    class Meta:
        model = WorkspaceAgent
        fields = [
            "id",
            "created_at",
            "updated_at",
            "first_connected_at",
            "last_connected_at",
            "disconnected_at",
            "status",
            "lifecycle_state",
            "name",
            "resource_id",
            "instance_id",
            "architecture",
            "environment_variables",
            "operating_system",
            "startup_script",
            "startup_script_timeout_seconds",
            "directory",
            "version",
            "apps",
            "connection_timeout_seconds",
            "troubleshooting_url",
            "login_before_ready",
            "instance_key",
        ]
        omit_absent = True
        omit_empty = ("instance_id", "startup_script", "directory")
        keep_null = ("environment_variables",)
        list_order = ("name", "position", "id")

    def get_status(self, agent: WorkspaceAgent) -> str:
        return AGENT_STATUS

    def sql_status(self, prefix: str) -> Constant:
        return Constant(AGENT_STATUS)

    def get_environment_variables(self, agent: WorkspaceAgent) -> dict[str, str] | None:
        return agent.environment_variables or None

    def sql_environment_variables(self, prefix: str) -> FilledJson:
        return FilledJson(F(f"{prefix}environment_variables"))

    def get_troubleshooting_url(self, agent: WorkspaceAgent) -> str:
        return agent.troubleshooting_url or settings.AGENT_TROUBLESHOOTING_URL

    def sql_troubleshooting_url(self, prefix: str) -> Case:
        own = f"{prefix}troubleshooting_url"
        absent = When(**{own: ""}, then=Value(settings.AGENT_TROUBLESHOOTING_URL))
        return Case(absent, default=F(own), output_field=TextField())


class ResourceSerializer(AnswerSerializer):
    """Each instance of ``count`` and ``for_each`` is a resource. Its ``instance_key`` is the index or key, after those
    of its modules (``eu/0``), and absent otherwise; agents, apps, metadata and rich parameters have it as well."""

    agents = AgentSerializer(many=True)
    metadata = MetadataSerializer(many=True)

    class Meta:
        model = WorkspaceResource
        fields = [
            "id",
            "created_at",
            "job_id",
            "workspace_transition",
            "type",
            "name",
            "hide",
            "icon",
            "agents",
            "metadata",
            "daily_cost",
            "instance_key",
        ]
        omit_absent = True
        list_order = ("name", "type", "workspace_transition", "position", "id")


class ParameterSchemaSerializer(AnswerSerializer):
    """A variable. The default of a sensitive variable is not shown."""

    default_source_value = serializers.SerializerMethodField()
    validation_contains = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = ParameterSchema
        fields = [
            "id",
            "created_at",
            "job_id",
            "name",
            "description",
            "default_source_scheme",
            "default_source_value",
            "allow_override_source",
            "default_destination_scheme",
            "allow_override_destination",
            "default_refresh",
            "redisplay_value",
            "validation_error",
            "validation_condition",
            "validation_type_system",
            "validation_value_type",
            "validation_contains",
        ]
        omit_absent = True

    def get_default_source_value(self, schema: ParameterSchema) -> str:
        return schema.default_source_value if schema.redisplay_value else ""

    def sql_default_source_value(self, prefix: str) -> Case:
        shown = When(**{f"{prefix}redisplay_value": True}, then=F(f"{prefix}default_source_value"))
        return Case(shown, default=Value(""), output_field=TextField())

    def sql_validation_contains(self, prefix: str) -> StoredJson:
        return StoredJson(F(f"{prefix}validation_contains"))


class ComputedValueSerializer(serializers.Serializer[Any]):
    """The effective value of a variable. The value of a sensitive variable is not shown."""

    id = serializers.UUIDField()
    created_at = MomentField()
    updated_at = MomentField()
    scope = serializers.CharField()
    scope_id = serializers.UUIDField()
    name = serializers.CharField()
    source_scheme = serializers.CharField()
    source_value = serializers.SerializerMethodField()
    destination_scheme = serializers.CharField()
    schema_id = serializers.UUIDField(source="schema.id")
    default_source_value = serializers.BooleanField()

    def get_source_value(self, value: Any) -> str:
        return value.source_value if value.schema.redisplay_value else ""


# ---------------------------------------------------------------------- bodies
class LiteralValueBody(BodySerializer):
    """A value of a variable for a dry run. Only name and text are used; copies are ignored (contract, E18)."""

    copy_from_parameter = BodyUUIDField(required=False)
    name = StrictTextField(max_length=MAX_SHORT_TEXT, required=False, default="", allow_blank=True)
    source_value = StrictTextField(max_length=65_536, required=False, default="", allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs["name"] and not attrs.get("copy_from_parameter"):
            raise serializers.ValidationError({"name": "This field is required."})
        return attrs


class ParameterValueBody(LiteralValueBody):
    """A value of a variable, either literal or copied from a stored value."""

    source_scheme = serializers.ChoiceField(choices=SourceScheme.choices, required=False, default="data")
    destination_scheme = serializers.ChoiceField(
        choices=DestinationScheme.choices, required=False, default="provisioner_variable"
    )

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):  # the Go SDK sends empty texts for unset fields
            data = {name: value for name, value in data.items() if value != "" or name.endswith("value")}
        return super().to_internal_value(data)


class RichParameterValueBody(BodySerializer):
    name = StrictTextField(max_length=MAX_SHORT_TEXT)
    value = StrictTextField(max_length=65_536, required=False, default="", allow_blank=True)


class VariableValueBody(BodySerializer):
    """A value of a variable, as clients send it that know no ``parameter_values``."""

    name = StrictTextField(max_length=MAX_SHORT_TEXT)
    value = StrictTextField(max_length=65_536, required=False, default="", allow_blank=True)


def given_values(values: Sequence[dict[str, Any]], variables: Sequence[dict[str, Any]] = ()) -> tuple[GivenValue, ...]:
    """Convert validated ``parameter_values``, followed by ``user_variable_values``, to the services' type."""
    return (
        *(
            GivenValue(
                name=value["name"],
                source_value=value["source_value"],
                source_scheme=value["source_scheme"],
                destination_scheme=value["destination_scheme"],
                copy_from=value.get("copy_from_parameter"),
            )
            for value in values
        ),
        *(GivenValue(name=value["name"], source_value=value["value"]) for value in variables),
    )
