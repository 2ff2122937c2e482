"""Names and pages of users, groups and organizations, for the audit log."""

import uuid
from collections.abc import Mapping
from functools import partial

from django.urls import reverse

from coderproj.accounts.pages.events import AuditNames
from coderproj.identity.models import Group, Organization, User


def users_by_id(ids: set[uuid.UUID]) -> Mapping[uuid.UUID, str]:
    return dict(User.objects.filter(pk__in=ids).values_list("pk", "username"))


def groups_by_id(ids: set[uuid.UUID]) -> Mapping[uuid.UUID, str]:
    return dict(Group.objects.filter(pk__in=ids).values_list("pk", "name"))


def organizations_by_id(ids: set[uuid.UUID]) -> Mapping[uuid.UUID, str]:
    return dict(Organization.objects.filter(pk__in=ids).values_list("pk", "name"))


def _page(route: str, id_: str) -> str:
    return reverse(route, args=[id_])


NAMES = [
    AuditNames(
        finders={
            "user_acl": users_by_id,
            "user_id": users_by_id,
            "members": users_by_id,
            "group_acl": groups_by_id,
            "organization_id": organizations_by_id,
        },
        # The names of these routes are the types of their objects.
        addresses={route: partial(_page, route) for route in ("user", "group", "organization")},
    )
]
