"""Services and queries for users, used by API, pages and commands."""

import re
import uuid
from collections.abc import Collection, Sequence
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from coderproj.base.contributions import contributions
from coderproj.base.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, Problem
from coderproj.base.identifiers import parse_uuid
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import (
    ApiKey,
    AuditAction,
    Group,
    KeyScope,
    Membership,
    Organization,
    SuspendedKey,
    User,
    UserLogin,
    UserStatus,
)
from coderproj.identity.models.users import UserQuerySet
from coderproj.identity.organizations import sees_all_organizations
from coderproj.identity.rbac import Action, Resource, assignable_roles, authorize
from coderproj.identity.rights import require_rights_of, require_rights_of_groups
from coderproj.identity.roles import MEMBER, SiteRole

ME = "me"
USERNAME_PATTERN = re.compile(r"[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*", re.ASCII)
# Path segments of the API that take the place of a username.
RESERVED_USERNAMES = frozenset({ME, "first", "login", "logout", "authmethods", "roles"})
TAKEN = "This value is already in use and should be unique."
# Advisory lock for changes that could leave a deployment without an owner.
OWNERS_LOCK = 0x6F776E65
# The maximum number of keys of a suspended user that are remembered; the newest ones are.
REMEMBERED_KEYS = 1000


class UnknownUser(DomainError):
    """The user does not exist or is not visible to the caller: the same response for both, and 400 by contract. The
    message does not quote the reference, so that callers cannot distinguish the cases."""

    message = 'The user must be "me", an existing id or an existing username.'


class LastOwner(DomainError):
    message = "This is the last owner of the deployment. Make another user an owner first."


# ---------------------------------------------------------------------- finding
def visible_users(actor: Actor) -> UserQuerySet:
    """Return the existing users that are visible to the actor: all for an actor with a site role, else themselves and
    the members of their organizations."""
    users = User.objects.existing()
    if actor.scope != KeyScope.ALL:
        return users.none()
    if sees_all_organizations(actor):
        return users
    shared = Membership.objects.filter(user=OuterRef("pk"), organization__any=actor.organization_ids)
    return users.filter(Q(pk=actor.id) | Exists(shared))


def users_with_visible_details(actor: Actor) -> QuerySet[User]:
    """Return the users, including deleted ones, whose details the audit log shows to the actor. Of other users it shows
    only the recorded name."""
    return User.objects.all() if sees_all_organizations(actor) else visible_users(actor)


def find_user(actor: Actor, reference: str) -> User:
    """Return the visible user in a path: ``me``, an id or a username in any case. Raises UnknownUser; NotFound for a
    key of narrow scope."""
    if actor.scope != KeyScope.ALL:
        raise NotFound
    users = visible_users(actor).prefetch_related("memberships")
    user_id = actor.id if reference == ME else parse_uuid(reference)
    user = users.filter(pk=user_id).first() if user_id else users.filter(username__iexact=reference).first()
    if user is None:
        raise UnknownUser
    return user


# ---------------------------------------------------------------------- permissions
def authorize_on(actor: Actor, action: Action, user: User) -> None:
    """Check that the actor may change the user: their own account, or as a user admin any that holds no right which the
    actor may not give. Raises Forbidden and NotFound."""
    authorize(actor, action, Resource.USER, owner_id=user.pk)
    require_rights_of(actor, user)


# ---------------------------------------------------------------------- creating and changing
def check_password_strength(password: str, *, user: User | None = None, field: str = "password") -> None:
    """Raises Invalid on ``field`` for a password that is too short or too common."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid(problems=(Problem(field, " ".join(error.messages)),)) from None


def new_user(*, username: str, email: str, password: str | None, **fields: Any) -> User:
    """Create a user without an audit row. Without a password they cannot sign in. Raises Invalid and Conflict naming
    the field."""
    user = User(username=username, email=email, **fields)
    _check_unique(user)
    if password is None:
        user.login_type = UserLogin.NONE
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
    is_service_account: bool = False,
) -> User:
    """Create a user as a member of these organizations. Without a password the user cannot sign in.

    Raises Forbidden; Invalid and Conflict naming the field.
    """
    authorize(actor, Action.CREATE, Resource.USER)
    for organization in organizations:
        authorize(actor, Action.CREATE, Resource.ORGANIZATION_MEMBER, organization_id=organization.pk)
    require_rights_of_groups(actor, Group.objects.filter(pk__in=[row.pk for row in organizations]))
    with audit.record(actor, AuditAction.CREATE) as entry:
        user = new_user(
            username=username,
            email=email,
            password=password,
            name=name,
            avatar_url=avatar_url,
            is_service_account=is_service_account,
        )
        Membership.objects.bulk_create(
            Membership(user=user, organization=organization) for organization in organizations
        )
        entry.after, entry.status_code = user, 201
    return user


def update_profile(actor: Actor, user: User, changes: dict[str, Any]) -> User:
    """Change ``username``, ``name`` or ``avatar_url``. Users may change their own, user admins any. Raises Forbidden,
    and Conflict for a taken username."""
    authorize_on(actor, Action.UPDATE, user)
    with audit.record(actor, AuditAction.WRITE, user) as entry:
        require_rights_of(actor, user)  # again: the roles may have changed before the row was locked
        for name, value in changes.items():
            setattr(user, name, value)
        _check_unique(user)
        _save(user, update_fields=[*changes, "updated_at"])
        entry.after = user
    return user


def change_password(actor: Actor, user: User, *, password: str, old_password: str | None = "") -> None:
    """Set a password and revoke all of the user's sessions and tokens. Actors need the old password to change their
    own, except with ``old_password=None`` (commands on the server).

    A user without password login can sign in with the password afterwards; a service account gets none. Raises
    Forbidden, and Invalid naming the field.
    """
    authorize_on(actor, Action.UPDATE, user)
    with audit.record(actor, AuditAction.WRITE, user) as entry:
        require_rights_of(actor, user)
        if user.is_service_account:
            raise Invalid.field("password", "A service account cannot sign in.")
        if user.pk == actor.id and old_password is not None and not user.check_password(old_password):
            raise Invalid.field("old_password", "Old password is incorrect.")
        check_password_strength(password, user=user)
        user.set_password(password)
        user.login_type = UserLogin.PASSWORD
        user.save(update_fields=["password", "login_type", "updated_at"])
        end_sessions(user.pk)
        entry.after, entry.status_code = user, 204


def suspend(actor: Actor, user: User) -> User:
    """Suspend a user and revoke their sessions and tokens. Raises Forbidden; DomainError for the actor or an owner.

    It gives nothing to the actor, so a user admin may suspend an account that holds more rights.
    """
    _authorize_administration(actor, Action.UPDATE, user)
    with audit.record(actor, AuditAction.WRITE, user) as entry:
        if user.pk == actor.id:
            raise DomainError("You cannot suspend yourself.")
        _lock_owners()
        user.refresh_from_db(fields=["site_roles"])
        if SiteRole.OWNER in user.site_roles:
            raise DomainError("An owner cannot be suspended. Remove the role first.")
        user.status = UserStatus.SUSPENDED
        user.save(update_fields=["status", "updated_at"])
        end_sessions(user.pk, remember=True)
        entry.after = user
    return user


def activate(actor: Actor, user: User) -> User:
    """Reactivate a suspended user, who has to sign in again. Raises Forbidden, also for an account with rights that
    the actor may not give."""
    _authorize_administration(actor, Action.UPDATE, user)
    with audit.record(actor, AuditAction.WRITE, user) as entry:
        require_rights_of(actor, user)
        end_sessions(user.pk)
        user.status = UserStatus.ACTIVE
        user.save(update_fields=["status", "updated_at"])
        entry.after = user
    return user


class StillNeeded(DomainError):
    """Something still needs the user (417 by contract)."""

    status_code = 417
    message = "The user cannot be deleted."


def delete(actor: Actor, user: User) -> None:
    """Mark a user as deleted. The row stays as the author of their objects, sessions and tokens are revoked, and the
    username and email address become available.

    Raises Forbidden; DomainError for the actor; LastOwner; StillNeeded.
    """
    _authorize_administration(actor, Action.DELETE, user)
    with audit.record(actor, AuditAction.DELETE, user):
        require_rights_of(actor, user)
        if user.pk == actor.id:
            raise DomainError("You cannot delete yourself.")
        if use := next(filter(None, (answer(user) for answer in contributions("user_uses"))), ""):
            raise StillNeeded(detail=use)
        _lock_owners()
        _reject_last_owner(user)
        User.objects.filter(pk=user.pk).update(deleted=True)
        end_sessions(user.pk)


def set_site_roles(actor: Actor, user: User, roles: Collection[str]) -> User:
    """Replace the site roles of a user. Only owners may, and not their own.

    Raises Forbidden, Invalid on ``roles`` for an unknown role, DomainError for the actor, LastOwner.
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
            raise Forbidden("You are not allowed to assign or remove these roles.")
        if user.pk == actor.id:
            raise DomainError("You cannot change your own roles.")
        if SiteRole.OWNER not in wanted:
            _reject_last_owner(user)
        user.site_roles = wanted
        user.save(update_fields=["site_roles", "updated_at"])
        entry.after = user
    return user


def end_sessions(user_id: uuid.UUID, *, remember: bool = False) -> int:
    """Revoke every key of a user with immediate effect, in a transaction that has locked the user's row. Return their
    number.

    ``remember`` keeps what identifies the keys, so that their holders learn that the user is suspended.
    """
    if remember:
        _remember_keys(user_id)
    else:
        SuspendedKey.objects.filter(user_id=user_id).delete()
    return ApiKey.objects.filter(user_id=user_id).delete()[0]


def _remember_keys(user_id: uuid.UUID) -> None:
    keys = ApiKey.objects.filter(user_id=user_id, expires_at__gt=Now()).order_by("-created_at")[:REMEMBERED_KEYS]
    SuspendedKey.objects.bulk_create(
        (SuspendedKey(id=key.pk, hashed_secret=key.hashed_secret, user_id=user_id) for key in keys),
        ignore_conflicts=True,
    )


# ---------------------------------------------------------------------- rules
def _authorize_administration(actor: Actor, action: Action, user: User) -> None:
    """Check that the actor is a user admin; ownership of the account is not enough."""
    authorize(actor, action, Resource.USER)
    if action == Action.DELETE:
        authorize_on(actor, action, user)


def _lock_owners() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [OWNERS_LOCK])


def _reject_last_owner(user: User) -> None:
    """Raise LastOwner if no other user is an active owner. Call this with the owners locked."""
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
    """Save the user. The unique constraints decide when two requests use the same name or address. Raises Conflict."""
    try:
        with transaction.atomic():
            user.save(update_fields=update_fields)
    except IntegrityError as error:
        field = "username" if "username" in str(error) else "email"
        raise Conflict(
            "A user with this username or email already exists.", problems=(Problem(field, TAKEN),)
        ) from None
