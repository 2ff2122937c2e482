"""Work and its results in the admin: to look at. Jobs are written by ``provisioning.jobs`` alone."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from coderproj.admin import ReadOnlyAdmin, status_chip
from coderproj.api.authentication import client_of
from coderproj.identity.actor import Actor
from coderproj.identity.models import User
from provisioning import keys
from provisioning.models import (
    File,
    ParameterSchema,
    ParameterValue,
    ProvisionerDaemon,
    ProvisionerJob,
    ProvisionerKey,
    WorkspaceAgent,
    WorkspaceApp,
    WorkspaceResource,
    WorkspaceResourceMetadata,
)

# The admin cannot register the log's table, whose key has two columns: a job's page shows the end of its log.
LOG_LINES_SHOWN = 200


@admin.register(ProvisionerJob)
class ProvisionerJobAdmin(ReadOnlyAdmin[ProvisionerJob]):
    list_display = ["short_id", "type", "state", "initiator", "created_at"]
    list_filter = ["type", "provisioner", "organization"]
    list_select_related = ["initiator"]
    search_fields = ["id", "error", "initiator__username"]
    exclude = ["lease"]
    readonly_fields = ["status", "log"]

    @admin.display(description="Job", ordering="id")
    def short_id(self, job: ProvisionerJob) -> str:
        return str(job.pk)[:8]

    @admin.display(description="Status")
    def state(self, job: ProvisionerJob) -> SafeString:
        return status_chip(job.status)

    @admin.display(description="Log")
    def log(self, job: ProvisionerJob) -> SafeString:
        """The last lines of the job's log."""
        lines = job.logs.order_by("-id")[:LOG_LINES_SHOWN]
        rows = ((line.id, line.level, line.stage, line.output) for line in reversed(lines))
        return format_html("<pre>{}</pre>", format_html_join("\n", "{:>5} {:5} [{}] {}", rows))


@admin.register(File)
class FileAdmin(ReadOnlyAdmin[File]):
    list_display = ["hash", "size", "mimetype", "created_by", "created_at"]
    list_select_related = ["created_by"]
    search_fields = ["hash", "created_by__username"]
    exclude = ["data"]


@admin.register(ProvisionerDaemon)
class ProvisionerDaemonAdmin(ReadOnlyAdmin[ProvisionerDaemon]):
    list_display = ["name", "hostname", "version", "tags", "last_seen_at"]
    search_fields = ["name", "hostname"]


@admin.register(ProvisionerKey)
class ProvisionerKeyAdmin(ReadOnlyAdmin[ProvisionerKey]):
    """Keys can be revoked here; they are made by the API or by ``manage.py provisionerkeys``."""

    list_display = ["name", "organization", "tags", "created_by", "last_used", "expires_at", "revoked_at"]
    list_select_related = ["organization", "created_by"]
    list_filter = ["organization"]
    search_fields = ["name", "created_by__username"]
    exclude = ["hashed_secret"]
    actions = ["revoke"]

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return isinstance(request.user, User) and request.user.is_superuser

    @admin.action(description="Revoke the selected keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[ProvisionerKey]) -> None:
        """End the rights of these keys with the next request of their daemons."""
        assert isinstance(request.user, User)
        actor = Actor.of(request.user, client=client_of(request))
        live = chosen.filter(revoked_at=None).select_related("organization")
        for key in live:
            keys.revoke_key(actor, key)
        self.message_user(request, f"Revoked {len(live)} keys.")


@admin.register(ParameterSchema)
class ParameterSchemaAdmin(ReadOnlyAdmin[ParameterSchema]):
    list_display = ["name", "job", "validation_value_type", "redisplay_value"]
    search_fields = ["name", "job__id"]
    exclude = ["default_source_value"]


@admin.register(ParameterValue)
class ParameterValueAdmin(ReadOnlyAdmin[ParameterValue]):
    """Values may be secrets: they are never shown."""

    list_display = ["name", "scope", "scope_id", "destination_scheme", "updated_at"]
    list_filter = ["scope"]
    search_fields = ["name", "scope_id"]
    exclude = ["source_value"]


@admin.register(WorkspaceResource)
class WorkspaceResourceAdmin(ReadOnlyAdmin[WorkspaceResource]):
    list_display = ["name", "type", "workspace_transition", "daily_cost", "job"]
    list_filter = ["workspace_transition"]
    search_fields = ["name", "type", "job__id"]


@admin.register(WorkspaceResourceMetadata)
class WorkspaceResourceMetadataAdmin(ReadOnlyAdmin[WorkspaceResourceMetadata]):
    list_display = ["key", "resource", "sensitive"]
    list_select_related = ["resource"]
    search_fields = ["key", "resource__name"]


@admin.register(WorkspaceAgent)
class WorkspaceAgentAdmin(ReadOnlyAdmin[WorkspaceAgent]):
    list_display = ["name", "operating_system", "architecture", "resource"]
    list_select_related = ["resource"]
    search_fields = ["name", "resource__name"]
    exclude = ["auth_token"]


@admin.register(WorkspaceApp)
class WorkspaceAppAdmin(ReadOnlyAdmin[WorkspaceApp]):
    list_display = ["slug", "display_name", "sharing_level", "agent"]
    list_select_related = ["agent"]
    search_fields = ["slug", "display_name"]
