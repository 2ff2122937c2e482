"""Request bodies of templates and versions."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from coderproj.api.serializers import (
    BodySerializer,
    BodyUUIDField,
    StrictBooleanField,
    StrictIntegerField,
    StrictTextField,
)
from coderproj.base.identifiers import NIL, parse_uuid
from provisioning.models import Provisioner
from provisioning.serializers.jobs import (
    LiteralValueBody,
    ParameterValueBody,
    RichParameterValueBody,
    VariableValueBody,
)
from templates_app.models.rules import HOUR_MS, MAX_WEEKS, WEEKDAYS, CorsBehavior, PortShareLevel, stored_days
from templates_app.names import check_display_name, check_template_name, check_version_name

MAX_TTL_MS = 2**63 // 10**6 - 1
MAX_DEPRECATION = 1024


class AutostartRequirementBody(BodySerializer):
    """Days of the week in any order."""

    days_of_week = serializers.ListField(child=serializers.ChoiceField(choices=WEEKDAYS), max_length=len(WEEKDAYS))


class AutostopRequirementBody(AutostartRequirementBody):
    weeks = StrictIntegerField(required=False, default=1, min_value=1, max_value=MAX_WEEKS)


def duration(**options: Any) -> StrictIntegerField:
    """Return a field for milliseconds."""
    return StrictIntegerField(required=False, min_value=0, max_value=MAX_TTL_MS, **options)


def with_columns(attrs: dict[str, Any]) -> dict[str, Any]:
    """Return validated values of a template by the names of its columns. A field without a value is left out."""
    values = {
        name: value for name, value in attrs.items() if name not in {"autostop_requirement", "autostart_requirement"}
    }
    if autostop := attrs.get("autostop_requirement"):
        values |= {"autostop_days": stored_days(autostop["days_of_week"]), "autostop_weeks": autostop["weeks"]}
    if autostart := attrs.get("autostart_requirement"):
        values["autostart_days"] = stored_days(autostart["days_of_week"])
    return values


class CreateTemplateBody(BodySerializer):
    """The fields that clients send. Three have other names than in the template."""

    name = StrictTextField(validators=[check_template_name])
    display_name = StrictTextField(required=False, default="", allow_blank=True, validators=[check_display_name])
    description = StrictTextField(required=False, default="", allow_blank=True, max_length=127)
    icon = StrictTextField(required=False, default="", allow_blank=True, max_length=256)
    template_version_id = BodyUUIDField()
    parameter_values = ParameterValueBody(many=True, required=False, default=())
    default_ttl_ms = StrictIntegerField(
        required=False,
        default=0,
        min_value=0,
        max_value=MAX_TTL_MS,
        error_messages={"min_value": "Must be a positive integer."},
    )
    allow_user_cancel_workspace_jobs = StrictBooleanField(required=False, default=True)
    disable_everyone_group_access = StrictBooleanField(required=False, default=False)
    activity_bump_ms = duration(default=HOUR_MS)
    autostop_requirement = AutostopRequirementBody(required=False)
    autostart_requirement = AutostartRequirementBody(required=False)
    allow_user_autostart = StrictBooleanField(required=False, default=True)
    allow_user_autostop = StrictBooleanField(required=False, default=True)
    failure_ttl_ms = duration(default=0)
    dormant_ttl_ms = duration(default=0)
    delete_ttl_ms = duration(default=0)
    require_active_version = StrictBooleanField(required=False, default=False)
    max_port_share_level = serializers.ChoiceField(
        choices=PortShareLevel.choices, required=False, default=PortShareLevel.PUBLIC
    )
    cors_behavior = serializers.ChoiceField(choices=CorsBehavior.choices, required=False, default=CorsBehavior.SIMPLE)
    template_use_classic_parameter_flow = StrictBooleanField(required=False, default=False)
    agents_allowed = StrictBooleanField(required=False, default=True)

    OTHER_NAMES = {
        "dormant_ttl_ms": "time_til_dormant_ms",
        "delete_ttl_ms": "time_til_dormant_autodelete_ms",
        "template_use_classic_parameter_flow": "use_classic_parameter_flow",
    }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return {self.OTHER_NAMES.get(name, name): value for name, value in with_columns(attrs).items()}


@extend_schema_field({"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_TTL_MS})
class LifetimeField(StrictIntegerField):
    """Milliseconds. The service rejects negative values, with the contract's message (E11)."""


class UpdateTemplateBody(BodySerializer):
    """Every field is optional; the dialect decides the meaning of absent fields. A ``deprecation_message`` keeps new
    workspaces from being created; an empty one ends that."""

    name = StrictTextField(required=False, allow_blank=True)
    display_name = StrictTextField(required=False, allow_blank=True, validators=[check_display_name])
    description = StrictTextField(required=False, allow_blank=True, max_length=127)
    icon = StrictTextField(required=False, allow_blank=True, max_length=256)
    default_ttl_ms = LifetimeField(required=False, max_value=MAX_TTL_MS)
    allow_user_cancel_workspace_jobs = StrictBooleanField(required=False)
    disable_everyone_group_access = StrictBooleanField(required=False)
    activity_bump_ms = duration()
    autostop_requirement = AutostopRequirementBody(required=False)
    autostart_requirement = AutostartRequirementBody(required=False)
    allow_user_autostart = StrictBooleanField(required=False)
    allow_user_autostop = StrictBooleanField(required=False)
    failure_ttl_ms = duration()
    time_til_dormant_ms = duration()
    time_til_dormant_autodelete_ms = duration()
    require_active_version = StrictBooleanField(required=False)
    deprecation_message = StrictTextField(required=False, allow_blank=True, max_length=MAX_DEPRECATION)
    max_port_share_level = serializers.ChoiceField(choices=PortShareLevel.choices, required=False)
    cors_behavior = serializers.ChoiceField(choices=CorsBehavior.choices, required=False)
    use_classic_parameter_flow = StrictBooleanField(required=False)
    agents_allowed = StrictBooleanField(required=False)

    def validate_name(self, value: str) -> str:
        if value:
            check_template_name(value)
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return with_columns(attrs)


class PromoteBody(BodySerializer):
    id = BodyUUIDField()


class ArchiveBody(BodySerializer):
    """Without ``all``, only versions whose import failed are archived."""

    all = StrictBooleanField(required=False, default=False)


class UpdateVersionBody(BodySerializer):
    name = StrictTextField(required=False, default="", allow_blank=True)
    message = StrictTextField(required=False, allow_blank=True, max_length=1024)

    def validate_name(self, value: str) -> str:
        if value:
            check_version_name(value)
        return value


class DryRunBody(BodySerializer):
    workspace_name = StrictTextField(required=False, default="", allow_blank=True, max_length=64)
    parameter_values = LiteralValueBody(many=True, required=False, default=())
    rich_parameter_values = RichParameterValueBody(many=True, required=False, default=())
    user_variable_values = VariableValueBody(many=True, required=False, default=())

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        taken = {value["name"] for value in attrs["parameter_values"]}
        for index, value in enumerate(attrs["user_variable_values"]):
            if value["name"] in taken:
                problem = {"name": f"The variable {value['name']!r} has two values in this request."}
                raise serializers.ValidationError({"user_variable_values": [{}] * index + [problem]})
            taken.add(value["name"])
        return attrs


class TagsField(serializers.DictField):
    """Texts by name. Names are validated like texts."""

    child = StrictTextField(max_length=256, allow_blank=True)

    def to_internal_value(self, data: Any) -> Any:
        tags = super().to_internal_value(data)
        for name in tags:
            self.child.run_validation(name)
        return tags


class CreateVersionBody(DryRunBody):
    """The fields that clients send, and those of the documented request."""

    parameter_values = ParameterValueBody(many=True, required=False, default=())
    name = StrictTextField(required=False, default="", allow_blank=True)
    message = StrictTextField(required=False, default="", allow_blank=True, max_length=1024)
    template_id = BodyUUIDField(required=False)
    storage_method = serializers.ChoiceField(choices=["file"], required=False, default="file")
    file_id = BodyUUIDField(required=False)
    example_id = StrictTextField(required=False, default="", allow_blank=True, max_length=128)
    provisioner = serializers.ChoiceField(choices=Provisioner.choices, required=False, default="terraform")
    tags = TagsField(required=False, default=dict)

    REAL_KEYS = frozenset(
        {
            "name",
            "message",
            "template_id",
            "storage_method",
            "file_id",
            "example_id",
            "provisioner",
            "tags",
            "user_variable_values",
        }
    )
    DOCUMENTED_KEYS = frozenset({"rich_parameter_values", "workspace_name"})

    def validate_name(self, value: str) -> str:
        if value:
            check_version_name(value)
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        sent = self.normalised(self.initial_data)
        given = {name for name, value in sent.items() if value and parse_uuid(str(value)) != NIL}
        documented = not given & self.REAL_KEYS and sent.keys() & (self.DOCUMENTED_KEYS | {"parameter_values"})
        if not attrs.get("file_id") and not attrs["example_id"] and not documented:
            raise serializers.ValidationError({"file_id": "Give a file_id or an example_id."})
        return attrs
