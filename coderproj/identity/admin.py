"""Identity in the admin."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.forms import ReadOnlyPasswordHashField
from django.contrib.auth.models import Group as DjangoGroup
from django.http import HttpRequest

from coderproj.admin import ReadOnlyAdmin, TableAdmin
from coderproj.identity.models import (
    ApiKey,
    AuditLog,
    GitSSHKey,
    Group,
    GroupMembership,
    Membership,
    Organization,
    User,
)
from coderproj.identity.roles import OrganizationRole, SiteRole

# Django's own groups grant nothing here.
admin.site.unregister(DjangoGroup)


class UserForm(forms.ModelForm):
    """Roles as check boxes; the password's hash is shown, never edited."""

    password = ReadOnlyPasswordHashField(required=False)
    site_roles = forms.MultipleChoiceField(
        choices=SiteRole.choices, required=False, widget=forms.CheckboxSelectMultiple
    )

    class Meta:
        model = User
        fields = ["username", "email", "name", "avatar_url", "status", "site_roles"]


class MembershipForm(forms.ModelForm):
    roles = forms.MultipleChoiceField(
        choices=OrganizationRole.choices, required=False, widget=forms.CheckboxSelectMultiple
    )

    class Meta:
        model = Membership
        fields = ["organization", "user", "roles"]


@admin.register(User)
class UserAdmin(TableAdmin[User]):
    """Users are made by the API, the console or ``manage.py users``, which set a password; deleting keeps the row."""

    form = UserForm
    list_display = ["username", "email", "status", "site_roles", "last_seen_at"]
    list_filter = ["status", "deleted"]
    search_fields = ["username", "email", "name"]
    readonly_fields = ["last_seen_at", "created_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False


@admin.register(Organization)
class OrganizationAdmin(TableAdmin[Organization]):
    list_display = ["name", "display_name", "is_default", "created_at"]
    search_fields = ["name", "display_name"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """An organization comes with its group of everyone: the services make both."""
        return False


@admin.register(Membership)
class MembershipAdmin(TableAdmin[Membership]):
    form = MembershipForm
    list_display = ["user", "organization", "roles", "created_at"]
    list_filter = ["organization"]
    search_fields = ["user__username", "user__email"]
    autocomplete_fields = ["user", "organization"]


@admin.register(Group)
class GroupAdmin(TableAdmin[Group]):
    list_display = ["name", "organization", "quota_allowance", "created_at"]
    list_filter = ["organization"]
    search_fields = ["name"]
    autocomplete_fields = ["organization"]

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and obj.is_everyone)

    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> Any:
        return ["name", "organization"] if obj and obj.is_everyone else []


@admin.register(GroupMembership)
class GroupMembershipAdmin(TableAdmin[GroupMembership]):
    list_display = ["user", "group"]
    list_filter = ["group__organization"]
    search_fields = ["user__username", "group__name"]
    autocomplete_fields = ["user", "group"]


@admin.register(GitSSHKey)
class GitSSHKeyAdmin(ReadOnlyAdmin[GitSSHKey]):
    list_display = ["user", "public_key", "updated_at"]
    list_select_related = ["user"]
    search_fields = ["user__username"]


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin[ApiKey]):
    """Keys can be revoked here; they are made by signing in or by the API."""

    list_display = ["id", "name", "user", "scope", "last_used", "expires_at"]
    list_filter = ["login_type", "scope"]
    search_fields = ["id", "name", "user__username"]
    exclude = ["hashed_secret"]

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return request.user.is_authenticated and request.user.is_superuser


@admin.register(AuditLog)
class AuditLogAdmin(ReadOnlyAdmin[AuditLog]):
    list_display = ["time", "username", "action", "resource_type", "resource_target", "status_code"]
    list_filter = ["action", "resource_type", "status_code"]
    search_fields = ["username", "resource_target", "resource_id"]
    date_hierarchy = "time"
