"""Filters of users and of the audit log, used by API, pages and commands."""

from collections.abc import Mapping
from typing import Any

import django_filters
from django.db.models import QuerySet

from coderproj.base import filtering
from coderproj.base.errors import Invalid
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction, AuditLog, User, UserStatus
from coderproj.identity.models.users import UserQuerySet
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, authorize, organizations_where
from coderproj.identity.roles import MEMBER, SiteRole
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

    class Meta:
        model = User
        fields: list[str] = []

    def by_role(self, rows: UserQuerySet, name: str, roles: list[str]) -> UserQuerySet:
        return rows if MEMBER in roles else rows.filter(site_roles__overlap=roles)


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
