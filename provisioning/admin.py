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
from coderproj.identity.actor import Actor
from coderproj.identity.rbac import Action, Resource, allowed_everywhere
from coderproj.identity.roles import SiteRole
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


def _jobs(actor: Actor) -> QuerySet[ProvisionerJob]:
    """Return the jobs whose results and logs the actor may read: a subset of those that the API shows, which includes
    the imports of all readable versions."""
    return ProvisionerJob.objects.visible(actor)


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
    # Without the input, which can contain the values that a user gave.
    fields = [
        "type",
        "status",
        "error",
        "organization",
        "initiator",
        "provisioner",
        "file",
        "tags",
        "priority",
        "attempts",
        "worker_id",
        "created_at",
        "started_at",
        "canceled_at",
        "completed_at",
        "log",
    ]
    readonly_fields = ["status", "log"]
    actions = ["cancel", "requeue"]

    def visible(self, actor: Actor) -> QuerySet[ProvisionerJob]:
        return _jobs(actor)

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
    fields = ["hash", "size", "mimetype", "created_by", "created_at"]

    def visible(self, actor: Actor) -> QuerySet[File]:
        files = File.objects.defer("data")
        if allowed_everywhere(actor, Action.READ, Resource.FILE):
            return files
        return files.filter(created_by=actor.id)


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
    fields = [
        "name",
        "state",
        "version",
        "hostname",
        "provisioners",
        "tags",
        "concurrency",
        "engine",
        "sandbox",
        "key",
        "created_at",
        "last_seen_at",
        "stopped_at",
    ]
    owner_fields = frozenset({"hostname", "concurrency", "engine", "sandbox", "key", "stopped_at"})
    readonly_fields = ["state"]

    def visible(self, actor: Actor) -> QuerySet[ProvisionerDaemon]:
        daemons = ProvisionerDaemon.objects
        return daemons.all() if SiteRole.OWNER in actor.site_roles else daemons.online()

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
    fields = ["name", "organization", "tags", "created_by", "created_at", "last_used", "expires_at", "revoked_at"]
    actions = ["revoke"]

    def visible(self, actor: Actor) -> QuerySet[ProvisionerKey]:
        return keys.visible_keys(actor)

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
    # Without the default, which may be a secret.
    fields = [
        "job",
        "name",
        "description",
        "default_source_scheme",
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
        "created_at",
    ]

    def visible(self, actor: Actor) -> QuerySet[ParameterSchema]:
        return ParameterSchema.objects.filter(job__in=_jobs(actor))


@admin.register(ParameterValue)
class ParameterValueAdmin(ReadOnlyAdmin[ParameterValue]):
    """Values may be secrets: they are never shown."""

    list_display = ["name", "scope", "scope_id", "destination_scheme", "updated_at"]
    list_filter = ["scope"]
    search_fields = ["name", "scope_id"]
    fields = ["name", "scope", "scope_id", "source_scheme", "destination_scheme", "created_at", "updated_at"]

    def visible(self, actor: Actor) -> QuerySet[ParameterValue]:
        """Return the values for actors who may read those of every template; others use the API."""
        if allowed_everywhere(actor, Action.UPDATE, Resource.TEMPLATE):
            return ParameterValue.objects.all()
        return ParameterValue.objects.none()


@admin.register(WorkspaceResource)
class WorkspaceResourceAdmin(ReadOnlyAdmin[WorkspaceResource]):
    list_display = ["name", "type", "workspace_transition", "daily_cost", "job"]
    list_filter = ["workspace_transition", "type"]
    list_select_related = ["job"]
    search_fields = ["name", "type", "job__id"]
    fields = ["job", "workspace_transition", "type", "name", "hide", "icon", "daily_cost", "created_at"]

    def visible(self, actor: Actor) -> QuerySet[WorkspaceResource]:
        return WorkspaceResource.objects.filter(job__in=_jobs(actor))


@admin.register(WorkspaceResourceMetadata)
class WorkspaceResourceMetadataAdmin(ReadOnlyAdmin[WorkspaceResourceMetadata]):
    list_display = ["key", "resource", "sensitive"]
    list_filter = ["sensitive"]
    list_select_related = ["resource"]
    search_fields = ["key", "resource__name"]
    fields = ["resource", "key", "value", "sensitive"]

    def visible(self, actor: Actor) -> QuerySet[WorkspaceResourceMetadata]:
        return WorkspaceResourceMetadata.objects.filter(resource__job__in=_jobs(actor))


@admin.register(WorkspaceAgent)
class WorkspaceAgentAdmin(ReadOnlyAdmin[WorkspaceAgent]):
    list_display = ["name", "operating_system", "architecture", "resource"]
    list_filter = ["operating_system", "architecture"]
    list_select_related = ["resource"]
    search_fields = ["name", "resource__name"]
    fields = [
        "resource",
        "name",
        "operating_system",
        "architecture",
        "auth_instance_id",
        "environment_variables",
        "startup_script",
        "startup_script_timeout_seconds",
        "directory",
        "version",
        "connection_timeout_seconds",
        "troubleshooting_url",
        "login_before_ready",
        "lifecycle_state",
        "created_at",
        "updated_at",
        "first_connected_at",
        "last_connected_at",
        "disconnected_at",
    ]

    def visible(self, actor: Actor) -> QuerySet[WorkspaceAgent]:
        return WorkspaceAgent.objects.filter(resource__job__in=_jobs(actor))


@admin.register(WorkspaceApp)
class WorkspaceAppAdmin(ReadOnlyAdmin[WorkspaceApp]):
    list_display = ["slug", "display_name", "sharing_level", "agent"]
    list_filter = ["sharing_level"]
    list_select_related = ["agent"]
    search_fields = ["slug", "display_name"]
    fields = [
        "agent",
        "slug",
        "display_name",
        "icon",
        "command",
        "url",
        "external",
        "subdomain",
        "sharing_level",
        "healthcheck_url",
        "healthcheck_interval",
        "healthcheck_threshold",
        "health",
    ]

    def visible(self, actor: Actor) -> QuerySet[WorkspaceApp]:
        return WorkspaceApp.objects.filter(agent__resource__job__in=_jobs(actor))
