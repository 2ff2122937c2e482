"""Serializers of what agents and their clients read."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from coderproj.api.serializers import AnswerSerializer
from provisioning.models import WorkspaceAgent
from provisioning.serializers.jobs import AppSerializer
from templates_app.agents.relays import relay_map

SECOND = 1_000_000_000
MAX_INTEGER = 2**63 - 1


class RelayMapSerializer(serializers.Serializer[Any]):
    """The relays between agents and clients, by the id of their region. Empty if the deployment has none."""

    Regions = serializers.DictField(child=serializers.DictField())


class ConnectionSerializer(serializers.Serializer[Any]):
    derp_map = RelayMapSerializer()


class ManifestSerializer(AnswerSerializer):
    """What an agent needs to know about itself. Timeouts are in nanoseconds, ``environment_variables`` is null
    without any, ``derpmap`` is never null."""

    git_auth_configs = serializers.SerializerMethodField()
    vscode_port_proxy_uri = serializers.SerializerMethodField()
    apps = AppSerializer(many=True)
    derpmap = serializers.SerializerMethodField()
    environment_variables = serializers.SerializerMethodField()
    startup_script_timeout = serializers.SerializerMethodField()
    shutdown_script_timeout = serializers.SerializerMethodField()

    class Meta:
        model = WorkspaceAgent
        fields = [
            "git_auth_configs",
            "vscode_port_proxy_uri",
            "apps",
            "derpmap",
            "environment_variables",
            "startup_script",
            "startup_script_timeout",
            "directory",
            "motd_file",
            "shutdown_script",
            "shutdown_script_timeout",
        ]

    def get_git_auth_configs(self, agent: WorkspaceAgent) -> int:
        """There are no git providers."""
        return 0

    def get_vscode_port_proxy_uri(self, agent: WorkspaceAgent) -> str:
        """Apps have no host of their own."""
        return ""

    @extend_schema_field(RelayMapSerializer())
    def get_derpmap(self, agent: WorkspaceAgent) -> dict[str, Any]:
        return relay_map()

    @extend_schema_field(serializers.DictField(child=serializers.CharField(), allow_null=True))
    def get_environment_variables(self, agent: WorkspaceAgent) -> dict[str, str] | None:
        return agent.environment_variables or None

    def get_startup_script_timeout(self, agent: WorkspaceAgent) -> int:
        return min(agent.startup_script_timeout_seconds * SECOND, MAX_INTEGER)

    def get_shutdown_script_timeout(self, agent: WorkspaceAgent) -> int:
        return min(agent.shutdown_script_timeout_seconds * SECOND, MAX_INTEGER)


class GitKeySerializer(serializers.Serializer[Any]):
    """The key pair of the workspace's owner, in OpenSSH's formats."""

    public_key = serializers.CharField()
    private_key = serializers.CharField()


class ReportAnswerSerializer(serializers.Serializer[Any]):
    """``report_interval`` is in nanoseconds."""

    report_interval = serializers.IntegerField()


class PresenceAnswerSerializer(serializers.Serializer[Any]):
    """``is_connected`` is false after the agent has left."""

    is_connected = serializers.BooleanField()
