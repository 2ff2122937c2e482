"""Serializers of templates and versions."""

import json
from typing import Any

from django.db.models import BooleanField, Case, ExpressionWrapper, F, Q, TextField, Value, When
from django.db.models.functions import Coalesce, NullIf
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from coderproj.accounts.serializers import UserSerializer
from coderproj.api.serializers import (
    AnswerSerializer,
    MomentField,
)
from coderproj.reads.json_sql import Constant, StoredJson, StoredObjects, WrittenJson
from provisioning.models import DestinationScheme, ParameterScope, SourceScheme
from provisioning.serializers.jobs import (
    ProvisionerJobSerializer,
)
from templates_app.models import RichParameter, Template, TemplateVersion
from templates_app.models.rules import MAX_WEEKS, WEEKDAYS, WRITTEN, days_of
from templates_app.statistics.counting import NO_BUILDS


class BuildTimeSerializer(serializers.Serializer[Any]):
    """Build durations in milliseconds: ``p50``/``p95`` as documented (0 without a build), ``P50``/``P95`` as the
    dashboard reads them (null without a build)."""

    p50 = serializers.IntegerField()
    p95 = serializers.IntegerField()
    P50 = serializers.IntegerField(allow_null=True)
    P95 = serializers.IntegerField(allow_null=True)


class BuildTimeStatsSerializer(serializers.Serializer[Any]):
    start = BuildTimeSerializer()
    stop = BuildTimeSerializer()
    delete = BuildTimeSerializer()


# Until a worker has counted the template.
NO_STATISTICS = {"start": NO_BUILDS, "stop": NO_BUILDS, "delete": NO_BUILDS}


class AutostartRequirementSerializer(serializers.Serializer[Any]):
    """The days on which schedules may start workspaces, in the owner's time zone."""

    days_of_week = serializers.ListField(child=serializers.ChoiceField(choices=WEEKDAYS))


class AutostopRequirementSerializer(AutostartRequirementSerializer):
    """The days on which running workspaces stop, each ``weeks`` weeks. No day: there is no such stop."""

    weeks = serializers.IntegerField(min_value=1, max_value=MAX_WEEKS)


class TemplateSerializer(AnswerSerializer):
    """Needs a queryset ``with_statistics()``. ``active_user_count`` is -1 if it is unknown."""

    workspace_owner_count = serializers.IntegerField()
    active_user_count = serializers.IntegerField()
    build_time_stats = serializers.SerializerMethodField()
    created_by_name = serializers.CharField(source="created_by.username")
    autostop_requirement = serializers.SerializerMethodField()
    autostart_requirement = serializers.SerializerMethodField()
    deprecated = serializers.BooleanField()
    organization_name = serializers.CharField(source="organization.name")
    organization_display_name = serializers.CharField(source="organization.display_name")
    organization_icon = serializers.CharField(source="organization.icon")

    class Meta:
        model = Template
        stored_members = {"rules": tuple(WRITTEN)}
        fields = [
            "id",
            "created_at",
            "updated_at",
            "organization_id",
            "name",
            "display_name",
            "provisioner",
            "active_version_id",
            "workspace_owner_count",
            "active_user_count",
            "build_time_stats",
            "description",
            "icon",
            "default_ttl_ms",
            "created_by_id",
            "created_by_name",
            "allow_user_cancel_workspace_jobs",
            *WRITTEN,
            "deprecation_message",
            "organization_name",
            "organization_display_name",
            "organization_icon",
        ]

    @extend_schema_field(AutostopRequirementSerializer())
    def get_autostop_requirement(self, template: Template) -> Any:
        return {"days_of_week": days_of(template.autostop_days), "weeks": template.autostop_weeks}

    @extend_schema_field(AutostartRequirementSerializer())
    def get_autostart_requirement(self, template: Template) -> Any:
        return {"days_of_week": days_of(template.autostart_days)}

    @extend_schema_field(BuildTimeStatsSerializer())
    def get_build_time_stats(self, template: Any) -> Any:
        return json.loads(template.build_times) if template.build_times else NO_STATISTICS

    def sql_build_time_stats(self, prefix: str) -> WrittenJson:
        written = NullIf(F(f"{prefix}statistics__build_times"), Value(""))
        return WrittenJson(written, Constant(NO_STATISTICS))


class TemplateVersionSerializer(AnswerSerializer):
    """``unverified_providers`` and ``unverified_modules`` name the providers and modules replaced by stubs; such a
    version is never applied.
    """

    job = ProvisionerJobSerializer()
    created_by = UserSerializer()

    class Meta:
        model = TemplateVersion
        fields = [
            "id",
            "template_id",
            "organization_id",
            "created_at",
            "updated_at",
            "name",
            "message",
            "job",
            "readme",
            "created_by",
            "archived",
            "unverified_providers",
            "unverified_modules",
        ]
        omit_absent = True

    # Both are lists of texts, so StoredJson leaves nothing out.
    def sql_unverified_providers(self, prefix: str) -> StoredJson:
        return StoredJson(F(f"{prefix}unverified_providers"))

    def sql_unverified_modules(self, prefix: str) -> StoredJson:
        return StoredJson(F(f"{prefix}unverified_modules"))


class MatchedProvisionersSerializer(serializers.Serializer[Any]):
    """The known daemons that may run the import, those of them that are online, and the last heartbeat of any."""

    count = serializers.IntegerField()
    available = serializers.IntegerField()
    most_recently_seen = MomentField(allow_null=True)


class CreatedVersionSerializer(TemplateVersionSerializer):
    """A version that was just created. Needs ``matched`` in the context: the command line warns if no daemon has the
    tags."""

    matched_provisioners = serializers.SerializerMethodField()

    class Meta(TemplateVersionSerializer.Meta):
        fields = [*TemplateVersionSerializer.Meta.fields, "matched_provisioners"]

    @extend_schema_field(MatchedProvisionersSerializer())
    def get_matched_provisioners(self, version: TemplateVersion) -> Any:
        return MatchedProvisionersSerializer(self.context["matched"]).data


class RichParameterOptionSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    description = serializers.CharField()
    value = serializers.CharField()
    icon = serializers.CharField()


class RichParameterSerializer(AnswerSerializer):
    """The documented fields of a computed value, and those that clients read."""

    updated_at = MomentField(source="created_at")
    scope = serializers.SerializerMethodField()
    scope_id = serializers.UUIDField(source="template_version.job_id")
    schema_id = serializers.UUIDField(source="id")
    source_scheme = serializers.SerializerMethodField()
    source_value = serializers.SerializerMethodField()
    destination_scheme = serializers.SerializerMethodField()
    default_source_value = serializers.SerializerMethodField()
    default_value = serializers.SerializerMethodField()
    options = RichParameterOptionSerializer(many=True)
    required = serializers.SerializerMethodField()  # type: ignore[assignment]
    validation_min = serializers.SerializerMethodField()
    validation_max = serializers.SerializerMethodField()

    class Meta:
        model = RichParameter
        fields = [
            "id",
            "created_at",
            "updated_at",
            "scope",
            "scope_id",
            "name",
            "schema_id",
            "source_scheme",
            "source_value",
            "destination_scheme",
            "default_source_value",
            "description",
            "type",
            "mutable",
            "default_value",
            "required",
            "icon",
            "options",
            "validation_error",
            "validation_regex",
            "validation_min",
            "validation_max",
            "validation_monotonic",
            "instance_key",
        ]
        omit_absent = True

    def sql_options(self, prefix: str) -> StoredObjects:
        return StoredObjects(F(f"{prefix}options"), RichParameterOptionSerializer().fields)

    def get_scope(self, parameter: RichParameter) -> str:
        return ParameterScope.IMPORT_JOB

    def sql_scope(self, prefix: str) -> Value:
        return Value(ParameterScope.IMPORT_JOB.value)

    def get_destination_scheme(self, parameter: RichParameter) -> str:
        return DestinationScheme.NONE

    def sql_destination_scheme(self, prefix: str) -> Value:
        return Value(DestinationScheme.NONE.value)

    def get_source_scheme(self, parameter: RichParameter) -> str:
        return SourceScheme.NONE if parameter.default_value is None else SourceScheme.DATA

    def sql_source_scheme(self, prefix: str) -> Case:
        absent = When(**{f"{prefix}default_value": None}, then=Value(SourceScheme.NONE.value))
        return Case(absent, default=Value(SourceScheme.DATA.value))

    def get_source_value(self, parameter: RichParameter) -> str:
        return parameter.default_value or ""

    def sql_source_value(self, prefix: str) -> Coalesce:
        return Coalesce(F(f"{prefix}default_value"), Value(""), output_field=TextField())

    get_default_value = get_source_value
    sql_default_value = sql_source_value

    def get_default_source_value(self, parameter: RichParameter) -> bool:
        return parameter.default_value is not None

    def sql_default_source_value(self, prefix: str) -> "ExpressionWrapper[Q]":
        given = Q(**{f"{prefix}default_value__isnull": False})
        return ExpressionWrapper(given, output_field=BooleanField())

    def get_required(self, parameter: RichParameter) -> bool:
        return parameter.default_value is None

    def sql_required(self, prefix: str) -> "ExpressionWrapper[Q]":
        return ExpressionWrapper(Q(**{f"{prefix}default_value": None}), output_field=BooleanField())

    def get_validation_min(self, parameter: RichParameter) -> int:
        return parameter.validation_min or 0

    def sql_validation_min(self, prefix: str) -> Coalesce:
        return Coalesce(F(f"{prefix}validation_min"), Value(0))

    def get_validation_max(self, parameter: RichParameter) -> int:
        return parameter.validation_max or 0

    def sql_validation_max(self, prefix: str) -> Coalesce:
        return Coalesce(F(f"{prefix}validation_max"), Value(0))


class PresetValueSerializer(serializers.Serializer[Any]):
    Name = serializers.CharField(source="name")
    Value = serializers.CharField(source="value")


class PresetSerializer(serializers.Serializer[Any]):
    """A preset, in the spelling that clients read. ``DesiredPrebuildInstances`` is what the template asks for; nothing
    is built in advance."""

    ID = serializers.UUIDField(source="id")
    Name = serializers.CharField(source="name")
    Parameters = PresetValueSerializer(source="parameters", many=True)
    Default = serializers.BooleanField(source="is_default")
    Description = serializers.CharField(source="description")
    Icon = serializers.CharField(source="icon")
    DesiredPrebuildInstances = serializers.IntegerField(source="prebuilds", allow_null=True)


class ArchivedAnswer(serializers.Serializer[Any]):
    """The versions that were archived, oldest first."""

    template_id = serializers.UUIDField()
    archived_ids = serializers.ListField(child=serializers.UUIDField())


class StarterSerializer(serializers.Serializer[Any]):
    """A starter template. ``markdown`` is its readme."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    icon = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField())
    markdown = serializers.CharField()


class DailyUsersSerializer(serializers.Serializer[Any]):
    """The number of users whose workspaces had traffic on a day, which begins at ``date`` (UTC)."""

    date = MomentField(source="day")
    amount = serializers.IntegerField(source="users")


class DailyActiveUsersSerializer(serializers.Serializer[Any]):
    """All days from the first to the last with users, within the last 30 days."""

    entries = DailyUsersSerializer(many=True)
