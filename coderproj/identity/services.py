"""What can be done with users, organizations and sessions. API, pages and commands call these."""

import uuid
from typing import Any

from django.contrib.auth import authenticate
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from coderproj.errors import Conflict, DomainError, Forbidden, Invalid, Problem
from coderproj.identity import audit, tokens
from coderproj.identity.actor import Actor, Client
from coderproj.identity.models import (
    EVERYONE,
    ApiKey,
    AuditAction,
    Group,
    KeyScope,
    LoginType,
    Membership,
    Organization,
    User,
)
from coderproj.identity.roles import SiteRole

# Serialises the creation of the first user: there can be only one.
FIRST_USER_LOCK = 0x636F6465


class SetUpAlready(Conflict):
    message = "The initial user has already been created!"


class WrongCredentials(DomainError):
    """Unknown address, wrong password or a suspended user: all answer alike."""

    status_code = 401
    message = "Incorrect email or password."


def first_user_exists() -> bool:
    """Whether the deployment has been set up."""
    return User.objects.existing().exists()


def create_first_user(
    *, username: str, email: str, password: str, name: str = "", client: Client | None = None
) -> tuple[User, Organization]:
    """Set the deployment up: an owner, and the default organization named after them.

    Raises SetUpAlready when there is a user, Invalid for a weak password.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [FIRST_USER_LOCK])
        if first_user_exists():
            raise SetUpAlready
        user = _new_user(username=username, email=email, password=password, name=name, site_roles=[SiteRole.OWNER])
        organization = Organization.objects.create(name=username, is_default=True)
        Group.objects.create(id=organization.pk, organization=organization, name=EVERYONE)
        Membership.objects.create(organization=organization, user=user, roles=["organization-admin"])
    with audit.record(Actor.of(user, client=client), AuditAction.CREATE) as entry:
        entry.after, entry.status_code = user, 201
    return user, organization


def check_password_strength(password: str, *, user: User | None = None, field: str = "password") -> None:
    """Raises Invalid on ``field`` for a password that is too short or too common."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid(problems=(Problem(field, " ".join(error.messages)),)) from None


def _new_user(*, username: str, email: str, password: str, name: str = "", **fields: Any) -> User:
    """An unaudited new user. Raises Invalid and Conflict naming the field."""
    existing = User.objects.existing()
    taken = [
        Problem(field, "This value is already in use and should be unique.")
        for field, value in (("username", username), ("email", email))
        if existing.filter(**{f"{field}__iexact": value}).exists()
    ]
    if taken:
        raise Conflict("A user with this username or email already exists.", problems=tuple(taken))
    user = User(username=username, email=email, name=name, **fields)
    check_password_strength(password, user=user)
    user.set_password(password)
    user.save()
    return user


def log_in(*, email: str, password: str, client: Client) -> tuple[User, str]:
    """A new session for the user with that address and password. Returns the token. Raises WrongCredentials."""
    user = authenticate(username=email, password=password)
    if not isinstance(user, User):
        raise WrongCredentials
    with audit.record(Actor.of(user, client=client), AuditAction.LOGIN) as entry:
        key, token = tokens.issue(user=user, ip=client.ip)
        entry.after, entry.status_code = key, 201
    return user, token


def log_out(actor: Actor) -> None:
    """End the session that the actor uses."""
    key = ApiKey.objects.filter(pk=actor.key_id).first()
    if key is None:
        return
    with audit.record(actor, AuditAction.LOGOUT, key):
        key.delete()


def create_token(
    actor: Actor,
    *,
    user: User,
    lifetime_seconds: int | None,
    scope: KeyScope = KeyScope.ALL,
    name: str = "",
    login_type: LoginType = LoginType.TOKEN,
) -> str:
    """A new API token for a user. Returns the only copy of it.

    Raises Forbidden for somebody else's account unless the actor is an owner; Conflict for a taken name.
    """
    if user.pk != actor.id and SiteRole.OWNER not in actor.site_roles:
        raise Forbidden
    with audit.record(actor, AuditAction.CREATE) as entry:
        key, token = tokens.issue(
            user=user, login_type=login_type, lifetime_seconds=lifetime_seconds, scope=scope, name=name
        )
        entry.after, entry.status_code = key, 201
    return token


def end_sessions(user_id: uuid.UUID) -> int:
    """Revoke every key of a user, from the next request on. Returns how many there were."""
    return ApiKey.objects.filter(user_id=user_id).delete()[0]
