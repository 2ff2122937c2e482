"""Templates in the admin. Versions and parameters belong to imports and are read-only."""

from functools import partial

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from coderproj.accounts.pages.people import active_users
from coderproj.console.admin import ReadOnlyAdmin, TableAdmin
from coderproj.identity.actor import Actor
from coderproj.identity.groups import visible_groups
from templates_app.models import Preset, RichParameter, Template, TemplateAccess, TemplateVersion, VersionHtml
from templates_app.pages.addresses import version_url
from templates_app.services import archiving, versions


@admin.register(Template)
class TemplateAdmin(TableAdmin[Template]):
    """Names and texts can be edited. Templates are created, promoted and deleted by the services only."""

    list_display = ["name", "display_name", "organization", "created_by", "updated_at"]
    list_filter = ["organization"]
    list_select_related = ["organization", "created_by"]
    search_fields = ["id", "name", "display_name"]
    fields = [
        "name",
        "display_name",
        "description",
        "icon",
        "default_ttl_ms",
        "allow_user_cancel_workspace_jobs",
        "activity_bump_ms",
        "allow_user_autostart",
        "allow_user_autostop",
        "failure_ttl_ms",
        "time_til_dormant_ms",
        "time_til_dormant_autodelete_ms",
        "require_active_version",
        "deprecation_message",
        "max_port_share_level",
        "cors_behavior",
        "use_classic_parameter_flow",
        "agents_allowed",
        "organization",
        "provisioner",
        "active_version",
        "created_by",
    ]
    readonly_fields = ["organization", "provisioner", "active_version", "created_by"]

    def visible(self, actor: Actor) -> QuerySet[Template]:
        return Template.objects.visible(actor)

    def view_on_site(self, template: Template) -> str:
        return f"/templates/{template.pk}"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Template | None = None) -> bool:
        return False


@admin.register(TemplateVersion)
class TemplateVersionAdmin(ReadOnlyAdmin[TemplateVersion]):
    list_display = ["name", "template", "job", "created_by", "created_at", "verified"]
    list_filter = ["archived", "template__organization"]
    list_select_related = ["template", "job", "created_by"]
    search_fields = ["id", "name", "template__name", "message"]
    fields = [
        "name",
        "template",
        "organization",
        "message",
        "readme",
        "job",
        "created_by",
        "archived",
        "unverified_providers",
        "unverified_modules",
        "created_at",
        "updated_at",
    ]
    actions = ["archive", "unarchive", "cancel"]

    def visible(self, actor: Actor) -> QuerySet[TemplateVersion]:
        return TemplateVersion.objects.visible(actor)

    def view_on_site(self, version: TemplateVersion) -> str:
        return version_url(version)

    @admin.action(description="Archive the selected versions", permissions=["act"])
    def archive(self, request: HttpRequest, chosen: QuerySet[TemplateVersion]) -> None:
        self.act(request, chosen, partial(_set_archived, archived=True), "Archived {count} of the versions.")

    @admin.action(description="Unarchive the selected versions", permissions=["act"])
    def unarchive(self, request: HttpRequest, chosen: QuerySet[TemplateVersion]) -> None:
        self.act(request, chosen, partial(_set_archived, archived=False), "Unarchived {count} of the versions.")

    @admin.action(description="Cancel the imports of the selected versions", permissions=["act"])
    def cancel(self, request: HttpRequest, chosen: QuerySet[TemplateVersion]) -> None:
        self.act(request, chosen, versions.cancel, "Requested the cancellation of {count} of the imports.")

    @admin.display(boolean=True)
    def verified(self, version: TemplateVersion) -> bool:
        return version.is_verified


def _set_archived(actor: Actor, version: TemplateVersion, *, archived: bool) -> TemplateVersion:
    return archiving.set_archived(actor, version, archived)


@admin.register(RichParameter)
class RichParameterAdmin(ReadOnlyAdmin[RichParameter]):
    list_display = ["name", "type", "mutable", "template_version"]
    list_filter = ["type", "mutable"]
    list_select_related = ["template_version"]
    search_fields = ["name", "template_version__name"]
    fields = [
        "template_version",
        "name",
        "description",
        "type",
        "mutable",
        "default_value",
        "icon",
        "options",
        "validation_error",
        "validation_regex",
        "validation_min",
        "validation_max",
        "validation_monotonic",
    ]

    def visible(self, actor: Actor) -> QuerySet[RichParameter]:
        return RichParameter.objects.filter(template_version__in=TemplateVersion.objects.visible(actor))


@admin.register(Preset)
class PresetAdmin(ReadOnlyAdmin[Preset]):
    list_display = ["name", "is_default", "template_version"]
    list_filter = ["is_default"]
    list_select_related = ["template_version"]
    search_fields = ["name", "template_version__name"]
    fields = ["template_version", "name", "description", "icon", "is_default", "parameters", "prebuilds"]

    def visible(self, actor: Actor) -> QuerySet[Preset]:
        return Preset.objects.filter(template_version__in=TemplateVersion.objects.visible(actor))


@admin.register(VersionHtml)
class VersionHtmlAdmin(ReadOnlyAdmin[VersionHtml]):
    list_display = ["version", "renderer"]
    list_select_related = ["version"]
    search_fields = ["version__name"]
    fields = ["version", "renderer"]

    def visible(self, actor: Actor) -> QuerySet[VersionHtml]:
        return VersionHtml.objects.filter(version__in=TemplateVersion.objects.visible(actor))


@admin.register(TemplateAccess)
class TemplateAccessAdmin(TableAdmin[TemplateAccess]):
    list_display = ["template", "user", "group", "role"]
    list_filter = ["role"]
    list_select_related = ["template", "user", "group"]
    search_fields = ["template__name", "user__username", "group__name"]
    autocomplete_fields = ["template", "user", "group"]
    fields = ["template", "user", "group", "role"]

    def visible(self, actor: Actor) -> QuerySet[TemplateAccess]:
        listed = Q(user__in=active_users(actor)) | Q(group__in=visible_groups(actor))
        return TemplateAccess.objects.filter(listed, template__in=Template.objects.visible(actor))

    def audited_object(self, obj: TemplateAccess) -> Template:
        return obj.template
