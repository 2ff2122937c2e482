"""Jobs and their results in the admin, read-only. Only ``provisioning.queue`` writes jobs."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from coderproj.console.admin import ChoiceFilter, ReadOnlyAdmin, status_chip
from provisioning import keys
from provisioning.models import (
    File,
    JobStatus,
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
from provisioning.models.daemons import ONLINE_SECONDS
from provisioning.queue import administration

# The admin cannot register the log's model, whose key has two columns, so a job's page shows the last log lines.
LOG_LINES_SHOWN = 200


def _of_status(status: JobStatus, rows: Any) -> Any:
    return rows.with_status().filter(current_status=status)


class JobStatusFilter(ChoiceFilter):
    title = "status"
    parameter_name = "status"
    options = {status.value: (status.label, partial(_of_status, status)) for status in JobStatus}


@admin.register(ProvisionerJob)
class ProvisionerJobAdmin(ReadOnlyAdmin[ProvisionerJob]):
    list_display = ["short_id", "type", "state", "initiator", "created_at"]
    list_filter = [JobStatusFilter, "type", "provisioner", "organization"]
    list_select_related = ["initiator"]
    search_fields = ["id", "error", "initiator__username"]
    exclude = ["lease"]
    readonly_fields = ["status", "log"]
    actions = ["cancel", "requeue"]

    def view_on_site(self, job: ProvisionerJob) -> str:
        return reverse("job", args=[job.pk])

    @admin.action(description="Cancel the selected jobs", permissions=["act"])
    def cancel(self, request: HttpRequest, chosen: QuerySet[ProvisionerJob]) -> None:
        self.act(request, chosen, administration.cancel, "Requested the cancellation of {count} of the jobs.")

    @admin.action(description="Return the selected jobs to the queue", permissions=["act"])
    def requeue(self, request: HttpRequest, chosen: QuerySet[ProvisionerJob]) -> None:
        self.act(request, chosen, administration.requeue, "Queued {count} of the jobs again.")

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
    list_filter = ["mimetype"]
    list_select_related = ["created_by"]
    search_fields = ["hash", "created_by__username"]
    exclude = ["data"]


class DaemonStateFilter(ChoiceFilter):
    title = "state"
    parameter_name = "state"
    options = {
        "online": ("Online", lambda rows: rows.online()),
        "stale": ("Not seen", lambda rows: rows.missing()),
        "stopped": ("Stopped", lambda rows: rows.filter(stopped_at__isnull=False)),
    }


class KeyStateFilter(ChoiceFilter):
    title = "state"
    parameter_name = "state"
    options = {
        "live": ("Live", lambda rows: rows.live()),
        "expired": ("Expired", lambda rows: rows.filter(revoked_at=None, expires_at__lte=Now())),
        "revoked": ("Revoked", lambda rows: rows.filter(revoked_at__isnull=False)),
    }


@admin.register(ProvisionerDaemon)
class ProvisionerDaemonAdmin(ReadOnlyAdmin[ProvisionerDaemon]):
    list_display = ["name", "state", "hostname", "version", "tags", "last_seen_at"]
    list_filter = [DaemonStateFilter, "version"]
    search_fields = ["name", "hostname"]

    def view_on_site(self, daemon: ProvisionerDaemon) -> str:
        return reverse("daemon", args=[daemon.pk])

    @admin.display(description="State")
    def state(self, daemon: ProvisionerDaemon) -> str:
        if daemon.stopped_at:
            return "stopped"
        age = datetime.now(UTC) - daemon.last_seen_at
        return "online" if age.total_seconds() < ONLINE_SECONDS else "not seen"


@admin.register(ProvisionerKey)
class ProvisionerKeyAdmin(ReadOnlyAdmin[ProvisionerKey]):
    """Keys can be revoked here. The API, the console and ``manage.py provisionerkeys`` create them."""

    list_display = ["name", "organization", "tags", "state", "last_used", "expires_at"]
    list_select_related = ["organization"]
    list_filter = [KeyStateFilter, "organization"]
    search_fields = ["name", "created_by__username"]
    exclude = ["hashed_secret"]
    actions = ["revoke"]

    def view_on_site(self, key: ProvisionerKey) -> str:
        return reverse("daemon-keys")

    @admin.display(description="State")
    def state(self, key: ProvisionerKey) -> str:
        if key.revoked_at:
            return "revoked"
        return "expired" if key.expires_at and key.expires_at <= datetime.now(UTC) else "live"

    @admin.action(description="Revoke the selected keys", permissions=["act"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[ProvisionerKey]) -> None:
        """Revoke these keys, effective with the next request of their daemons."""
        live = chosen.filter(revoked_at=None).select_related("organization")
        self.act(request, live, keys.revoke_key, "Revoked {count} of the keys.")


@admin.register(ParameterSchema)
class ParameterSchemaAdmin(ReadOnlyAdmin[ParameterSchema]):
    list_display = ["name", "job", "validation_value_type", "redisplay_value"]
    list_filter = ["redisplay_value"]
    list_select_related = ["job"]
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
    list_filter = ["workspace_transition", "type"]
    list_select_related = ["job"]
    search_fields = ["name", "type", "job__id"]


@admin.register(WorkspaceResourceMetadata)
class WorkspaceResourceMetadataAdmin(ReadOnlyAdmin[WorkspaceResourceMetadata]):
    list_display = ["key", "resource", "sensitive"]
    list_filter = ["sensitive"]
    list_select_related = ["resource"]
    search_fields = ["key", "resource__name"]


@admin.register(WorkspaceAgent)
class WorkspaceAgentAdmin(ReadOnlyAdmin[WorkspaceAgent]):
    list_display = ["name", "operating_system", "architecture", "resource"]
    list_filter = ["operating_system", "architecture"]
    list_select_related = ["resource"]
    search_fields = ["name", "resource__name"]
    exclude = ["auth_token"]


@admin.register(WorkspaceApp)
class WorkspaceAppAdmin(ReadOnlyAdmin[WorkspaceApp]):
    list_display = ["slug", "display_name", "sharing_level", "agent"]
    list_filter = ["sharing_level"]
    list_select_related = ["agent"]
    search_fields = ["slug", "display_name"]
