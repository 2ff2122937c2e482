"""Templates in the admin. Versions and parameters belong to imports and are read-only."""

from django.contrib import admin
from django.http import HttpRequest

from coderproj.admin import ReadOnlyAdmin, TableAdmin
from templates_app.models import RichParameter, Template, TemplateAccess, TemplateVersion


@admin.register(Template)
class TemplateAdmin(TableAdmin[Template]):
    """Names and texts can be edited; creating, promoting and deleting are the services' work."""

    list_display = ["name", "display_name", "organization", "created_by", "updated_at", "deleted"]
    list_filter = ["organization", "deleted"]
    list_select_related = ["organization", "created_by"]
    search_fields = ["name", "display_name"]
    fields = [
        "name",
        "display_name",
        "description",
        "icon",
        "default_ttl_ms",
        "allow_user_cancel_workspace_jobs",
        "organization",
        "provisioner",
        "active_version",
        "created_by",
        "deleted",
    ]
    readonly_fields = ["organization", "provisioner", "active_version", "created_by", "deleted"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Template | None = None) -> bool:
        return False


@admin.register(TemplateVersion)
class TemplateVersionAdmin(ReadOnlyAdmin[TemplateVersion]):
    list_display = ["name", "template", "job", "created_by", "created_at", "verified"]
    list_select_related = ["template", "job", "created_by"]
    search_fields = ["name", "template__name", "message"]

    @admin.display(boolean=True)
    def verified(self, version: TemplateVersion) -> bool:
        return version.is_verified


@admin.register(RichParameter)
class RichParameterAdmin(ReadOnlyAdmin[RichParameter]):
    list_display = ["name", "type", "mutable", "template_version"]
    list_select_related = ["template_version"]
    search_fields = ["name", "template_version__name"]


@admin.register(TemplateAccess)
class TemplateAccessAdmin(TableAdmin[TemplateAccess]):
    list_display = ["template", "user", "group", "role"]
    list_filter = ["role"]
    list_select_related = ["template", "user", "group"]
    search_fields = ["template__name", "user__username", "group__name"]
    autocomplete_fields = ["template", "user", "group"]
