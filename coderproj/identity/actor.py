"""The actor: the authenticated user of a request with their permissions, passed to every service and queryset."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from coderproj.identity.models import ApiKey, GroupMembership, KeyScope, Membership, User


@dataclass(frozen=True, slots=True)
class Client:
    """The origin of a request, for the audit log."""

    ip: str | None = None
    user_agent: str = ""
    request_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class Actor:
    """A user with all data that permissions depend on.

    ``organization_roles`` has a key for each organization that the user is a member of. ``group_ids`` contains the
    user's groups in those organizations, including the ``Everyone`` groups (whose id is the organization's).
    """

    id: uuid.UUID
    username: str
    email: str = ""
    site_roles: frozenset[str] = frozenset()
    organization_roles: Mapping[uuid.UUID, frozenset[str]] = field(default_factory=dict)
    group_ids: frozenset[uuid.UUID] = frozenset()
    scope: str = KeyScope.ALL
    key_id: str = ""
    client: Client = Client()

    # Attributes that Django REST framework reads from ``request.user``.
    is_authenticated = True
    is_active = True

    @property
    def pk(self) -> uuid.UUID:
        return self.id

    @property
    def organization_ids(self) -> frozenset[uuid.UUID]:
        return frozenset(self.organization_roles)

    def organizations_where(self, granted: Callable[[frozenset[str]], bool]) -> frozenset[uuid.UUID]:
        """Return the organizations in which the actor's roles satisfy the condition."""
        return frozenset(id_ for id_, roles in self.organization_roles.items() if granted(roles))

    @classmethod
    def of(cls, user: User, *, key: ApiKey | None = None, client: Client | None = None) -> "Actor":
        """Return the actor for a user row, with two queries. API requests load theirs in one (``actor_for_token``)."""
        memberships = {row.organization_id: frozenset(row.roles) for row in Membership.objects.filter(user=user)}
        groups = GroupMembership.objects.filter(user=user, group__organization__in=memberships)
        return cls(
            id=user.pk,
            username=user.username,
            email=user.email,
            site_roles=frozenset(user.site_roles),
            organization_roles=memberships,
            group_ids=frozenset(groups.values_list("group_id", flat=True)) | frozenset(memberships),
            scope=key.scope if key else KeyScope.ALL,
            key_id=key.pk if key else "",
            client=client or Client(),
        )
