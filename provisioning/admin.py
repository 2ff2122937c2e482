"""Work and its results in the admin: to look at. Jobs are written by ``provisioning.jobs`` alone."""

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from coderproj.admin import ReadOnlyAdmin
from provisioning.models import (
    File,
    ParameterSchema,
    ParameterValue,
    ProvisionerDaemon,
    ProvisionerJob,
    WorkspaceAgent,
    WorkspaceApp,
    WorkspaceResource,
    WorkspaceResourceMetadata,
)

# The admin cannot register the log's table, whose key has two columns: a job's page shows the end of its log.
LOG_LINES_SHOWN = 200


@admin.register(ProvisionerJob)
class ProvisionerJobAdmin(ReadOnlyAdmin[ProvisionerJob]):
    list_display = ["id", "type", "status", "initiator", "created_at", "completed_at"]
    list_filter = ["type", "provisioner", "organization"]
    list_select_related = ["initiator"]
    search_fields = ["id", "error", "initiator__username"]
    exclude = ["lease"]
    readonly_fields = ["status", "log"]

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
