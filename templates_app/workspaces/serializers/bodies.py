"""Request bodies of workspaces and their builds."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from coderproj.api.serializers import (
    BodySerializer,
    BodyUUIDField,
    StrictBooleanField,
    StrictIntegerField,
    StrictTextField,
)
from provisioning.models.resources import TRANSITIONS
from provisioning.parameters import GivenValue
from provisioning.serializers.jobs import ParameterValueBody, RichParameterValueBody, given_values
from templates_app.names import check_name
from templates_app.workspaces.services.values import NamedValue

MAX_VALUES = 1000
LEAST, GREATEST = -(2**63), 2**63 - 1


@extend_schema_field(OpenApiTypes.BYTE)
class Base64Field(serializers.Field[Any, Any, Any, Any]):
    """Bytes, as base64 in a JSON string. The parser of long bodies has decoded them."""

    default_error_messages = {"invalid": "Must be base64."}

    def to_internal_value(self, data: Any) -> bytes:
        if isinstance(data, bytes):
            return data
        if not isinstance(data, str):
            self.fail("invalid")
        try:
            return base64.b64decode(data.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            self.fail("invalid")

    def to_representation(self, value: bytes) -> str:
        return base64.b64encode(value).decode()


class BuildValuesBody(BodySerializer):
    """The values of variables and rich parameters for a build. Empty values of variables count as absent."""

    parameter_values: serializers.ListSerializer[Any] = serializers.ListSerializer(
        child=ParameterValueBody(), required=False, default=(), max_length=MAX_VALUES
    )
    rich_parameter_values: serializers.ListSerializer[Any] = serializers.ListSerializer(
        child=RichParameterValueBody(), required=False, default=(), max_length=MAX_VALUES
    )


class CreateWorkspaceBody(BuildValuesBody):
    """``template_version_id`` is a version of the template, by default its active one; alone, it names the template.
    ``ttl_ms`` is in milliseconds, by default the template's. ``automatic_updates`` has no effect."""

    template_id = BodyUUIDField(required=False)
    template_version_id = BodyUUIDField(required=False)
    template_version_preset_id = BodyUUIDField(required=False)
    name = StrictTextField(validators=[check_name])
    # The service bounds the schedule, and names the field as clients expect it.
    autostart_schedule = StrictTextField(required=False, default="", allow_blank=True)
    ttl_ms = StrictIntegerField(required=False, min_value=LEAST, max_value=GREATEST)
    automatic_updates = serializers.ChoiceField(choices=["always", "never"], required=False)


class CreateBuildBody(BuildValuesBody):
    """``template_version_id`` is by default the version of the latest build. ``state`` replaces the Terraform state;
    ``orphan`` deletes a workspace without destroying its resources."""

    transition = serializers.ChoiceField(choices=TRANSITIONS)
    template_version_id = BodyUUIDField(required=False)
    state = Base64Field(required=False)
    orphan = StrictBooleanField(required=False, default=False)


class RenameWorkspaceBody(BodySerializer):
    name = StrictTextField(required=False, validators=[check_name])


class ScheduleBody(BodySerializer):
    """A schedule of cron fields, with ``CRON_TZ=`` and a time zone before them if it is not UTC; empty for none."""

    schedule = StrictTextField(required=False, default="", allow_blank=True)


class TimeToLiveBody(BodySerializer):
    """Milliseconds from a start to the automatic stop; null or 0 for none."""

    ttl_ms = StrictIntegerField(required=False, default=0, min_value=LEAST, max_value=GREATEST)


class ExtendBody(BodySerializer):
    deadline = serializers.DateTimeField()


def variables_of(body: Mapping[str, Any]) -> tuple[GivenValue, ...]:
    """Return the values of variables in a validated body."""
    return given_values([value for value in body["parameter_values"] if is_given(value)])


def is_given(value: Mapping[str, Any]) -> bool:
    return value["source_value"] != "" or value.get("copy_from_parameter") is not None


def rich_values_of(body: Mapping[str, Any]) -> list[NamedValue]:
    """Return the values of rich parameters in a validated body."""
    return [NamedValue(value["name"], value["value"]) for value in body["rich_parameter_values"]]
