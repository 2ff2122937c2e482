"""Serializers of what agents send."""

import re
import uuid
from typing import Any

from rest_framework import serializers

from coderproj.api.serializers import BodySerializer, StrictIntegerField, StrictTextField
from coderproj.base.identifiers import parse_uuid
from provisioning.models import AppHealth
from provisioning.models.resources import AgentLifecycle

NUMBER = "(?:0|[1-9][0-9]*)"
LABELS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
# As Go's ``semver.IsValid``: with a ``v``, and minor and patch can be left out.
VERSION = re.compile(rf"v{NUMBER}(?:\.{NUMBER}(?:\.{NUMBER}(?:-{LABELS})?(?:\+{LABELS})?)?)?", re.ASCII)
MAX_VERSION = 64
MAX_SESSION = 64
SESSION = re.compile(r"[0-9A-Za-z-]{8,}", re.ASCII)
MAX_PROTOCOLS = 64
MAX_PROTOCOL = 64
MAX_COUNT = 2**63 - 1
# What an agent can report: only the server knows which apps have no health check.
HEALTHS = [(value, label) for value, label in AppHealth.choices if value != AppHealth.DISABLED]


class VersionBody(BodySerializer):
    version = StrictTextField(max_length=MAX_VERSION)

    def validate_version(self, version: str) -> str:
        if not VERSION.fullmatch(version):
            raise serializers.ValidationError("Must be a semantic version that begins with v, such as v1.2.3.")
        return version


class LifecycleBody(BodySerializer):
    state = serializers.ChoiceField(choices=AgentLifecycle.choices)


class HealthsBody(BodySerializer):
    """The health of apps by their id."""

    healths = serializers.DictField(child=serializers.ChoiceField(choices=HEALTHS), allow_empty=False)

    def validate_healths(self, healths: dict[str, str]) -> dict[uuid.UUID, AppHealth]:
        found: dict[uuid.UUID, AppHealth] = {}
        for text, health in healths.items():
            app_id = parse_uuid(text)
            if app_id is None:
                raise serializers.ValidationError(f"{text[:64]!r} is not the UUID of an app.")
            found[app_id] = AppHealth(health)
        return found


class PresenceBody(BodySerializer):
    """``session`` is a random text of the agent's process. ``is_leaving``: the agent stops."""

    session = StrictTextField(max_length=MAX_SESSION)
    is_leaving = serializers.BooleanField(required=False, default=False)

    def validate_session(self, session: str) -> str:
        if not SESSION.fullmatch(session):
            raise serializers.ValidationError("Must have 8 or more letters, digits and dashes.")
        return session


class Count(StrictIntegerField):
    """A number that only grows, as far as a column can store it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=0, max_value=MAX_COUNT, **kwargs)


class StatisticsBody(BodySerializer):
    """The traffic of an agent since its last report. An absent number is 0."""

    conns_by_proto = serializers.DictField(child=Count(), required=False, default=dict)
    num_comms = Count(required=False, default=0)
    rx_packets = Count(required=False, default=0)
    rx_bytes = Count(required=False, default=0)
    tx_packets = Count(required=False, default=0)
    tx_bytes = Count(required=False, default=0)

    def validate_conns_by_proto(self, counts: dict[str, int]) -> dict[str, int]:
        if len(counts) > MAX_PROTOCOLS:
            raise serializers.ValidationError(f"Must have at most {MAX_PROTOCOLS} protocols.")
        for name in counts:
            if len(name) > MAX_PROTOCOL or not name.isprintable():
                raise serializers.ValidationError(
                    f"Names of protocols must be printable and have at most {MAX_PROTOCOL} characters."
                )
        return counts
