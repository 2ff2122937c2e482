"""Filters of users and of the audit log, used by API, pages and commands."""

from collections.abc import Mapping
from typing import Any

import django_filters
from django.db.models import Exists, F, OuterRef, QuerySet

from coderproj.base import filtering
from coderproj.base.errors import Invalid
from coderproj.base.identifiers import parse_uuid
from coderproj.identity.actor import Actor
from coderproj.identity.models import (
    ApiKey,
    AuditAction,
    AuditLog,
    Group,
    GroupMembership,
    Membership,
    User,
    UserStatus,
)
from coderproj.identity.models.users import UserQuerySet
from coderproj.identity.organizations import find_organization
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, authorize, organizations_where
from coderproj.identity.roles import MEMBER, SiteRole
from coderproj.identity.services import tokens_of_all
from coderproj.identity.users import UnknownUser, find_user, users_with_visible_details, visible_users


def user_named(actor: Actor, field: str, reference: str) -> User:
    """Return the visible user in a filter: ``me``, an id or a username. Raises Invalid on ``field``."""
    try:
        return find_user(actor, reference)
    except UnknownUser as error:
        raise Invalid.field(field, error.message) from None


# ---------------------------------------------------------------------- users
class UserFilter(filtering.FilterSet):
    """Filters users by status and role. Every user has the role ``member``."""

    text_lookups = ("username__icontains", "email__icontains", "name__icontains")

    status = filtering.Choices(choices=UserStatus.choices)
    role = filtering.Choices(choices=[*SiteRole.choices, (MEMBER, "Member")], method="by_role")
    github_com_user_id = filtering.WholeNumber(
        method="by_github_user", help_text="Number of an account at GitHub. No user has one: nothing matches."
    )

    class Meta:
        model = User
        fields: list[str] = []

    def by_github_user(self, rows: UserQuerySet, name: str, number: int) -> UserQuerySet:
        return rows.none()

    def by_role(self, rows: UserQuerySet, name: str, roles: list[str]) -> UserQuerySet:
        return rows if MEMBER in roles else rows.filter(site_roles__overlap=roles)


class TokenFilter(filtering.FilterSet):
    """Filters the tokens of a user."""

    include_all = filtering.Flag(
        method="by_owner", help_text="Return the tokens of all users, for owners, instead of the user's own."
    )

    class Meta:
        model = ApiKey
        fields: list[str] = []

    def by_owner(self, rows: QuerySet[ApiKey], name: str, wanted: bool) -> QuerySet[ApiKey]:
        return tokens_of_all(self.actor) if wanted else rows


class GroupFilter(filtering.FilterSet):
    """Filters groups by organization, member and id. Without ids, the groups ``Everyone`` are left out."""

    organization = django_filters.CharFilter(method="by_organization", help_text="Id, name or `default`.")
    has_member = django_filters.CharFilter(method="by_member", help_text="A member: `me`, id or username.")
    group_ids = django_filters.CharFilter(method="by_ids", help_text="Ids of groups, separated by commas.")

    class Meta:
        model = Group
        fields: list[str] = []

    def filter_queryset(self, rows: QuerySet[Group]) -> QuerySet[Group]:
        found: QuerySet[Group] = super().filter_queryset(rows)
        return found if self.form.cleaned_data["group_ids"] else found.exclude(pk=F("organization"))

    def by_organization(self, rows: QuerySet[Group], name: str, reference: str) -> QuerySet[Group]:
        return rows.filter(organization=find_organization(self.actor, reference))

    def by_member(self, rows: QuerySet[Group], name: str, reference: str) -> QuerySet[Group]:
        user = user_named(self.actor, name, reference)
        inside = GroupMembership.objects.filter(group=OuterRef("pk"), user=user)
        everyone = Membership.objects.filter(organization=OuterRef("pk"), user=user)
        return rows.filter(Exists(inside) | Exists(everyone))

    def by_ids(self, rows: QuerySet[Group], name: str, text: str) -> QuerySet[Group]:
        parts = text.split(",")
        ids = [found for part in parts if (found := parse_uuid(part.strip()))]
        if len(ids) < len(parts):
            raise Invalid.field(name, "Must be UUIDs, separated by commas.")
        return rows.filter(pk__in=ids)


def search_users(actor: Actor, query: Mapping[str, str]) -> UserQuerySet:
    """Return the visible users that match the query parameters. Raises Invalid naming the parameter."""
    return filtering.apply(UserFilter, actor, query, visible_users(actor))


# ---------------------------------------------------------------------- audit log
class AuditLogFilter(filtering.FilterSet):
    """Filters the audit log by action, object, actor and date (in UTC, both inclusive)."""

    text_lookups = ("resource_target__icontains", "username__icontains")

    resource_type = django_filters.CharFilter(lookup_expr="iexact", help_text="Type of the object, such as `template`.")
    resource_id = django_filters.CharFilter(lookup_expr="iexact", help_text="Id of the object.")
    resource_target = django_filters.CharFilter(lookup_expr="iexact", help_text="Name of the object.")
    action = django_filters.ChoiceFilter(choices=AuditAction.choices)
    username = django_filters.CharFilter(lookup_expr="iexact", help_text="Username of the actor.")
    email = django_filters.CharFilter(method="by_email", help_text="Email address of the actor.")
    date_from = django_filters.DateFilter(field_name="time", lookup_expr="date__gte", help_text="First day, in UTC.")
    date_to = django_filters.DateFilter(field_name="time", lookup_expr="date__lte", help_text="Last day, in UTC.")
    status_code = filtering.WholeNumber(help_text="HTTP status of the change.")

    class Meta:
        model = AuditLog
        fields: list[str] = []

    def by_email(self, rows: QuerySet[AuditLog], name: str, value: str) -> QuerySet[AuditLog]:
        return rows.filter(user_id__in=users_with_visible_details(self.actor).filter(email__iexact=value).values("pk"))


def reads_audit_log(actor: Actor) -> bool:
    """Return True if the actor may read any part of the audit log."""
    return allowed_everywhere(actor, Action.READ, Resource.AUDIT_LOG) or bool(
        organizations_where(actor, Action.READ, Resource.AUDIT_LOG)
    )


def visible_rows(actor: Actor) -> QuerySet[AuditLog]:
    """Return all rows for owners and auditors, and an organization's rows for its administrators.

    Raises NotFound for other actors.
    """
    if allowed_everywhere(actor, Action.READ, Resource.AUDIT_LOG):
        return AuditLog.objects.all()
    organizations = organizations_where(actor, Action.READ, Resource.AUDIT_LOG)
    if not organizations:
        authorize(actor, Action.READ, Resource.AUDIT_LOG)
    return AuditLog.objects.filter(organization_id__any=organizations)


def search_rows(actor: Actor, query: Mapping[str, str]) -> QuerySet[AuditLog]:
    """Return the visible rows that match the query parameters, newest first. Raises Invalid naming the parameter."""
    found: QuerySet[Any] = filtering.apply(AuditLogFilter, actor, query, visible_rows(actor))
    return found.order_by("-time", "id")
