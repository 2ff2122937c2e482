"""Users: who sees them, and what can be done with them. API, pages and commands call these."""

import re
import uuid
from collections.abc import Collection, Sequence
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from coderproj.base.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, Problem
from coderproj.base.identifiers import parse_uuid
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import ApiKey, AuditAction, KeyScope, Membership, Organization, User, UserStatus
from coderproj.identity.models.users import UserQuerySet
from coderproj.identity.organizations import sees_all_organizations
from coderproj.identity.rbac import Action, Resource, assignable_roles, authorize
from coderproj.identity.roles import MEMBER, SiteRole

ME = "me"
NO_LOGIN = "none"
USERNAME_PATTERN = re.compile(r"[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*", re.ASCII)
# Words that stand where a path names a user.
RESERVED_USERNAMES = frozenset({ME, "first", "login", "logout", "authmethods", "roles"})
TAKEN = "This value is already in use and should be unique."
# Serialises what could leave a deployment without an owner.
OWNERS_LOCK = 0x6F776E65


class UnknownUser(DomainError):
    """No such user, or none that the caller may see: both alike, and 400 by contract. It does not repeat what was
    asked for, so that the two cannot be told apart."""

    message = 'The user must be "me", an existing id or an existing username.'


class LastOwner(DomainError):
    message = "A deployment needs an owner: this is the last one."


# ---------------------------------------------------------------------- finding
def visible_users(actor: Actor) -> UserQuerySet:
    """Existing users that the actor may see: everybody for the holder of a site role, else themselves and the
    members of their organizations."""
    users = User.objects.existing()
    if actor.scope != KeyScope.ALL:
        return users.none()
    if sees_all_organizations(actor):
        return users
    shared = Membership.objects.filter(user=OuterRef("pk"), organization__any=actor.organization_ids)
    return users.filter(Q(pk=actor.id) | Exists(shared))


def recognized_users(actor: Actor) -> QuerySet[User]:
    """Users, deleted ones included, of whom the actor may learn more than the name in the audit log."""
    return User.objects.all() if sees_all_organizations(actor) else visible_users(actor)


def find_user(actor: Actor, reference: str) -> User:
    """The user that a path names: ``me``, an id or a username in any case. Raises UnknownUser; NotFound for a key of
    narrow scope, which sees nobody."""
    if actor.scope != KeyScope.ALL:
        raise NotFound
    users = visible_users(actor).prefetch_related("memberships")
    user_id = actor.id if reference == ME else parse_uuid(reference)
    user = users.filter(pk=user_id).first() if user_id else users.filter(username__iexact=reference).first()
    if user is None:
        raise UnknownUser
    return user


# ---------------------------------------------------------------------- rights
def authorize_on(actor: Actor, action: Action, user: User) -> None:
    """Return for oneself and for administrators of users; an owner's account is in owners' hands alone. Raises
    Forbidden and NotFound."""
    authorize(actor, action, Resource.USER, owner_id=user.pk)
    if user.pk != actor.id and SiteRole.OWNER in user.site_roles and SiteRole.OWNER not in actor.site_roles:
        raise Forbidden("Only an owner may change an owner's account.")


# ---------------------------------------------------------------------- making and changing
def check_password_strength(password: str, *, user: User | None = None, field: str = "password") -> None:
    """Raises Invalid on ``field`` for a password that is too short or too common."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid(problems=(Problem(field, " ".join(error.messages)),)) from None


def new_user(*, username: str, email: str, password: str | None, **fields: Any) -> User:
    """An unaudited new user, who cannot sign in when the password is None. Raises Invalid and Conflict naming the
    field."""
    user = User(username=username, email=email, **fields)
    _check_unique(user)
    if password is None:
        user.login_type = NO_LOGIN
        user.set_unusable_password()
    else:
        check_password_strength(password, user=user)
        user.set_password(password)
    _save(user)
    return user


def create_user(
    actor: Actor,
    *,
    username: str,
    email: str,
    password: str | None,
    organizations: Sequence[Organization],
    name: str = "",
    avatar_url: str = "",
) -> User:
    """Create a member of these organizations. Raises Forbidden, Invalid and Conflict naming the field."""
    authorize(actor, Action.CREATE, Resource.USER)
    for organization in organizations:
        authorize(actor, Action.CREATE, Resource.ORGANIZATION_MEMBER, organization_id=organization.pk)
    with audit.record(actor, AuditAction.CREATE) as entry:
        user = new_user(username=username, email=email, password=password, name=name, avatar_url=avatar_url)
        Membership.objects.bulk_create(
            Membership(user=user, organization=organization) for organization in organizations
        )
        entry.after, entry.status_code = user, 201
    return user


def update_profile(actor: Actor, user: User, changes: dict[str, Any]) -> User:
    """Change ``username``, ``name`` or ``avatar_url``: one's own, or as an administrator of users. Raises Forbidden,
    and Conflict for a taken username."""
    authorize_on(actor, Action.UPDATE, user)
    with audit.record(actor, AuditAction.WRITE, user) as entry:
        for name, value in changes.items():
            setattr(user, name, value)
        _check_unique(user)
        _save(user, update_fields=[*changes, "updated_at"])
        entry.after = user
    return user


def change_password(actor: Actor, user: User, *, password: str, old_password: str | None = "") -> None:
    """Set a password and end all of the user's sessions and tokens. One's own takes the old one, unless it is None:
    whoever runs commands on the server's machine need not know it.

    A user who could not sign in by password can from then on. Raises Forbidden, and Invalid naming the field.
    """
    authorize_on(actor, Action.UPDATE, user)
    with audit.record(actor, AuditAction.WRITE, user) as entry:
        if user.pk == actor.id and old_password is not None and not user.check_password(old_password):
            raise Invalid.field("old_password", "Old password is incorrect.")
        check_password_strength(password, user=user)
        user.set_password(password)
        user.login_type = "password"
        user.save(update_fields=["password", "login_type", "updated_at"])
        end_sessions(user.pk)
        entry.after, entry.status_code = user, 204


def suspend(actor: Actor, user: User) -> User:
    """Lock a user out: every session and token ends. Raises Forbidden; DomainError for oneself or an owner."""
    _authorize_administration(actor, Action.UPDATE, user)
    with audit.record(actor, AuditAction.WRITE, user) as entry:
        if user.pk == actor.id:
            raise DomainError("You cannot suspend yourself.")
        _lock_owners()
        user.refresh_from_db(fields=["site_roles"])
        if SiteRole.OWNER in user.site_roles:
            raise DomainError("An owner cannot be suspended: take the role away first.")
        user.status = UserStatus.SUSPENDED
        user.save(update_fields=["status", "updated_at"])
        end_sessions(user.pk)
        entry.after = user
    return user


def activate(actor: Actor, user: User) -> User:
    """Let a suspended user in again; they sign in anew. Raises Forbidden."""
    _authorize_administration(actor, Action.UPDATE, user)
    with audit.record(actor, AuditAction.WRITE, user) as entry:
        user.status = UserStatus.ACTIVE
        user.save(update_fields=["status", "updated_at"])
        entry.after = user
    return user


def delete(actor: Actor, user: User) -> None:
    """Delete a user: the row stays as the author of what they made, sessions and tokens end, the name is free again.

    Raises Forbidden; DomainError for oneself; LastOwner.
    """
    _authorize_administration(actor, Action.DELETE, user)
    with audit.record(actor, AuditAction.DELETE, user):
        if user.pk == actor.id:
            raise DomainError("You cannot delete yourself.")
        _lock_owners()
        _refuse_last_owner(user)
        User.objects.filter(pk=user.pk).update(deleted=True)
        end_sessions(user.pk)


def set_site_roles(actor: Actor, user: User, roles: Collection[str]) -> User:
    """Give a user exactly these site roles. Only owners may; not to themselves.

    Raises Forbidden, Invalid on ``roles`` for an unknown one, DomainError for oneself, LastOwner.
    """
    wanted = sorted(set(roles) - {MEMBER})
    authorize(actor, Action.UPDATE, Resource.USER)
    unknown = [role for role in wanted if role not in SiteRole.values]
    if unknown:
        raise Invalid.field("roles", f"{unknown[0]!r} is not a site role.")
    with audit.record(actor, AuditAction.WRITE, user) as entry:
        _lock_owners()
        user.refresh_from_db(fields=["site_roles"])
        if not set(user.site_roles) ^ set(wanted) <= assignable_roles(actor):
            raise Forbidden("You may not give or take these roles.")
        if user.pk == actor.id:
            raise DomainError("You cannot change your own roles.")
        if SiteRole.OWNER not in wanted:
            _refuse_last_owner(user)
        user.site_roles = wanted
        user.save(update_fields=["site_roles", "updated_at"])
        entry.after = user
    return user


def end_sessions(user_id: uuid.UUID) -> int:
    """Revoke every key of a user, from the next request on. Returns how many there were."""
    return ApiKey.objects.filter(user_id=user_id).delete()[0]


# ---------------------------------------------------------------------- rules
def _authorize_administration(actor: Actor, action: Action, user: User) -> None:
    """An administrator of users; what people may do with their own account does not count."""
    authorize(actor, action, Resource.USER)
    if action == Action.DELETE:
        authorize_on(actor, action, user)


def _lock_owners() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [OWNERS_LOCK])


def _refuse_last_owner(user: User) -> None:
    """Raises LastOwner when nobody else is an active owner. Call it with the owners locked."""
    owners = User.objects.existing().filter(site_roles__contains=[SiteRole.OWNER], status=UserStatus.ACTIVE)
    if owners.filter(pk=user.pk).exists() and not owners.exclude(pk=user.pk).exists():
        raise LastOwner


def _check_unique(user: User) -> None:
    others = User.objects.existing().exclude(pk=user.pk)
    taken = [
        Problem(field, TAKEN)
        for field in ("username", "email")
        if others.filter(**{f"{field}__iexact": getattr(user, field)}).exists()
    ]
    if taken:
        raise Conflict("A user with this username or email already exists.", problems=tuple(taken))


def _save(user: User, update_fields: Collection[str] | None = None) -> None:
    """Save, with the race for a name decided by the database."""
    try:
        with transaction.atomic():
            user.save(update_fields=update_fields)
    except IntegrityError as error:
        field = "username" if "username" in str(error) else "email"
        raise Conflict(
            "A user with this username or email already exists.", problems=(Problem(field, TAKEN),)
        ) from None
