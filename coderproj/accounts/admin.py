"""Admin classes of identity models."""

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group as DjangoGroup
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from coderproj.console.admin import ChoiceFilter, ReadOnlyAdmin, TableAdmin
from coderproj.identity import services, users
from coderproj.identity.actor import Actor
from coderproj.identity.filters import visible_rows
from coderproj.identity.groups import visible_groups
from coderproj.identity.models import (
    ApiKey,
    AuditLog,
    GitSSHKey,
    Group,
    GroupMembership,
    Membership,
    Organization,
    User,
    UserStatus,
)
from coderproj.identity.organizations import visible_organizations
from coderproj.identity.rbac import Action, Resource, allowed_everywhere
from coderproj.identity.roles import OrganizationRole, SiteRole

# Django's own groups grant nothing here.
admin.site.unregister(DjangoGroup)


class UserForm(forms.ModelForm):  # type: ignore[type-arg]  # takes no type arguments at run time
    """Edits users without their password: the console sets passwords and ends sessions."""

    class Meta:
        model = User
        fields = ["username", "email", "name", "avatar_url"]


class MembershipForm(forms.ModelForm):  # type: ignore[type-arg]  # takes no type arguments at run time
    roles = forms.MultipleChoiceField(
        choices=OrganizationRole.choices, required=False, widget=forms.CheckboxSelectMultiple
    )

    class Meta:
        model = Membership
        fields = ["organization", "user", "roles"]


def _own(actor: Actor) -> Q:
    """Match the keys that the actor may read: their own, or all as an owner."""
    return Q() if allowed_everywhere(actor, Action.READ, Resource.API_KEY) else Q(user=actor.id)


def _with_role(role: SiteRole, rows: "QuerySet[User]") -> "QuerySet[User]":
    return rows.filter(site_roles__contains=[role.value])


class SiteRoleFilter(ChoiceFilter):
    title = "site role"
    parameter_name = "role"
    options = {role.value: (role.label, partial(_with_role, role)) for role in SiteRole}


@admin.register(User)
class UserAdmin(TableAdmin[User]):
    """Users. The API, the console and ``manage.py users`` create users with a password; deleting keeps the row.

    Site roles are assigned in the console, which protects the last owner of a deployment.
    """

    form = UserForm
    list_display = ["username", "email", "status", "login_type", "site_roles", "last_seen_at"]
    list_filter = ["status", SiteRoleFilter]
    search_fields = ["id", "username", "email", "name"]
    readonly_fields = ["status", "login_type", "is_service_account", "site_roles", "last_seen_at", "created_at"]
    fields = ["username", "email", "name", "avatar_url", *readonly_fields]
    owner_fields = frozenset({"name"})
    actions = ["suspend", "activate"]

    def visible(self, actor: Actor) -> QuerySet[User]:
        return users.visible_users(actor)

    def view_on_site(self, user: User) -> str:
        return reverse("user", args=[user.pk])

    @admin.action(description="Suspend the selected users, and end their sessions and tokens", permissions=["act"])
    def suspend(self, request: HttpRequest, chosen: QuerySet[User]) -> None:
        self.act(request, chosen, users.suspend, "Suspended {count} of the users.")

    @admin.action(description="Activate the selected users", permissions=["act"])
    def activate(self, request: HttpRequest, chosen: QuerySet[User]) -> None:
        self.act(request, chosen, users.activate, "Activated {count} of the users.")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False


@admin.register(Organization)
class OrganizationAdmin(TableAdmin[Organization]):
    list_display = ["name", "display_name", "is_default", "created_at"]
    list_filter = ["is_default"]
    search_fields = ["id", "name", "display_name"]
    fields = ["name", "display_name", "description", "icon", "is_default"]

    def visible(self, actor: Actor) -> QuerySet[Organization]:
        return visible_organizations(actor)

    def view_on_site(self, organization: Organization) -> str:
        return reverse("organization", args=[organization.pk])

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: the services create an organization together with its ``Everyone`` group."""
        return False


@admin.register(Membership)
class MembershipAdmin(TableAdmin[Membership]):
    form = MembershipForm
    list_display = ["user", "organization", "roles", "created_at"]
    list_filter = ["organization"]
    list_select_related = ["user", "organization"]
    search_fields = ["user__username", "user__email"]
    autocomplete_fields = ["user", "organization"]
    fields = ["organization", "user", "roles"]
    owner_fields = frozenset({"created_at"})

    def visible(self, actor: Actor) -> QuerySet[Membership]:
        return Membership.objects.filter(
            organization__in=visible_organizations(actor), user__in=users.visible_users(actor)
        )


@admin.register(Group)
class GroupAdmin(TableAdmin[Group]):
    list_display = ["name", "display_name", "organization", "quota_allowance"]
    list_filter = ["organization"]
    list_select_related = ["organization"]
    search_fields = ["id", "name", "display_name"]
    autocomplete_fields = ["organization"]
    fields = ["organization", "name", "display_name", "avatar_url", "quota_allowance"]

    def visible(self, actor: Actor) -> QuerySet[Group]:
        return visible_groups(actor)

    def view_on_site(self, group: Group) -> str:
        return reverse("group", args=[group.pk])

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj and obj.is_everyone)

    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> Any:
        return ["name", "organization"] if obj and obj.is_everyone else []


@admin.register(GroupMembership)
class GroupMembershipAdmin(TableAdmin[GroupMembership]):
    list_display = ["user", "group"]
    list_filter = ["group__organization"]
    list_select_related = ["user", "group"]
    search_fields = ["user__username", "group__name"]
    autocomplete_fields = ["user", "group"]
    fields = ["group", "user"]

    def visible(self, actor: Actor) -> QuerySet[GroupMembership]:
        active = users.visible_users(actor).filter(status=UserStatus.ACTIVE)
        return GroupMembership.objects.filter(group__in=visible_groups(actor), user__in=active)

    def audited_object(self, obj: GroupMembership) -> Group:
        return obj.group


@admin.register(GitSSHKey)
class GitSSHKeyAdmin(ReadOnlyAdmin[GitSSHKey]):
    list_display = ["user", "public_key", "updated_at"]
    list_select_related = ["user"]
    search_fields = ["user__username"]
    fields = ["user", "public_key", "created_at", "updated_at"]

    def visible(self, actor: Actor) -> QuerySet[GitSSHKey]:
        return GitSSHKey.objects.filter(_own(actor))


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin[ApiKey]):
    """Keys can be revoked here. Signing in and the API create them."""

    list_display = ["id", "name", "user", "scope", "last_used", "expires_at"]
    list_filter = ["login_type", "scope"]
    list_select_related = ["user"]
    search_fields = ["id", "name", "user__username"]
    fields = [
        "name",
        "user",
        "login_type",
        "scope",
        "lifetime_seconds",
        "last_used",
        "expires_at",
        "created_at",
        "updated_at",
    ]
    actions = ["revoke"]

    def visible(self, actor: Actor) -> QuerySet[ApiKey]:
        return ApiKey.objects.filter(_own(actor))

    def view_on_site(self, key: ApiKey) -> str:
        return reverse("user", args=[key.user_id])

    @admin.action(description="Revoke the selected keys", permissions=["act"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiKey]) -> None:
        """Revoke sessions and tokens with immediate effect."""
        self.act(request, chosen, services.revoke_key, "Revoked {count} of the keys.")


@admin.register(AuditLog)
class AuditLogAdmin(ReadOnlyAdmin[AuditLog]):
    list_display = ["time", "username", "action", "resource_type", "resource_target", "status_code"]
    list_filter = ["action", "resource_type", "status_code"]
    search_fields = ["username", "resource_target", "resource_id", "request_id"]
    date_hierarchy = "time"
    fields = [
        "time",
        "user_id",
        "username",
        "organization_id",
        "ip",
        "user_agent",
        "resource_type",
        "resource_id",
        "resource_target",
        "resource_icon",
        "action",
        "diff",
        "status_code",
        "additional_fields",
        "request_id",
    ]

    def visible(self, actor: Actor) -> QuerySet[AuditLog]:
        return visible_rows(actor)

    def view_on_site(self, row: AuditLog) -> str:
        return f"{reverse('audit')}?resource_id={row.resource_id}"
