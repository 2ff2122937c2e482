"""Setting a deployment up, signing in and out, and tokens. API, pages and commands call these."""

from contextlib import suppress

from django.conf import settings
from django.contrib.auth import authenticate
from django.db import connection, transaction

from coderproj.base.errors import Conflict, DomainError, Invalid, NotFound
from coderproj.identity import audit, tokens
from coderproj.identity.actor import Actor, Client
from coderproj.identity.models import ApiKey, AuditAction, KeyScope, LoginType, Organization, User
from coderproj.identity.organizations import new_organization
from coderproj.identity.rbac import Action, Resource, authorize
from coderproj.identity.roles import SiteRole
from coderproj.identity.users import new_user

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
        user = new_user(username=username, email=email, password=password, name=name, site_roles=[SiteRole.OWNER])
        organization = new_organization(user.pk, name=username, is_default=True)
    with audit.record(Actor.of(user, client=client), AuditAction.CREATE) as entry:
        entry.after, entry.status_code = user, 201
    return user, organization


# ---------------------------------------------------------------------- sessions
def log_in(*, email: str, password: str, client: Client) -> tuple[User, str]:
    """A new session for the user with that address and password. Returns the token. Raises WrongCredentials."""
    user = authenticate(username=email, password=password)
    if not isinstance(user, User):
        raise WrongCredentials
    with audit.record(Actor.of(user, client=client), AuditAction.LOGIN) as entry:
        key, token = tokens.issue(user=user, ip=client.ip)
        User.objects.filter(pk=user.pk).update(last_seen_at=key.last_used)
        entry.after, entry.status_code = key, 201
    return user, token


def log_out(actor: Actor) -> None:
    """End the session that the actor uses."""
    key = ApiKey.objects.filter(pk=actor.key_id).first()
    if key is None:
        return
    # It may end in another window at the same moment.
    with suppress(NotFound), audit.record(actor, AuditAction.LOGOUT, key):
        ApiKey.objects.filter(pk=key.pk).delete()


# ---------------------------------------------------------------------- tokens
def token_lifetime(seconds: int, *, field: str) -> int:
    """The lifetime of a token in seconds, where 0 asks for the default. Raises Invalid on ``field`` above the limit."""
    if seconds > settings.TOKEN_MAX_LIFETIME_SECONDS:
        raise Invalid.field(field, f"Must be at most {settings.TOKEN_MAX_LIFETIME_SECONDS} seconds.")
    return seconds or settings.TOKEN_LIFETIME_SECONDS


def create_token(
    actor: Actor,
    *,
    user: User,
    lifetime_seconds: int | None,
    scope: KeyScope = KeyScope.ALL,
    name: str = "",
    login_type: LoginType = LoginType.TOKEN,
) -> str:
    """A new API token for oneself, or for anybody as an owner. Returns the only copy of it.

    Raises NotFound for somebody else's account; Conflict for a taken name; DomainError for a suspended user.
    """
    authorize(actor, Action.CREATE, Resource.API_KEY, owner_id=user.pk)
    if not user.is_active:
        raise DomainError("A suspended user gets no tokens.")
    with audit.record(actor, AuditAction.CREATE) as entry:
        key, token = tokens.issue(
            user=user, login_type=login_type, lifetime_seconds=lifetime_seconds, scope=scope, name=name, in_use=False
        )
        entry.after, entry.status_code = key, 201
    return token


def list_tokens(actor: Actor, user: User) -> list[ApiKey]:
    """The API tokens of a user, oldest first; sessions are not among them. Raises NotFound for another's."""
    authorize(actor, Action.READ, Resource.API_KEY, owner_id=user.pk)
    return list(ApiKey.objects.filter(user=user, login_type=LoginType.TOKEN).order_by("created_at", "id"))


def find_key(actor: Actor, user: User, *, key_id: str = "", name: str = "") -> ApiKey:
    """A key of a user by id, or by the name it was given. Raises NotFound, also for another user's."""
    authorize(actor, Action.READ, Resource.API_KEY, owner_id=user.pk)
    keys = ApiKey.objects.filter(user=user)
    key = keys.filter(pk=key_id).first() if key_id else keys.filter(name=name).exclude(name="").first()
    if key is None:
        raise NotFound
    return key


def revoke_key(actor: Actor, key: ApiKey) -> None:
    """End a key at once. Raises NotFound for another user's, or when it is gone already."""
    authorize(actor, Action.DELETE, Resource.API_KEY, owner_id=key.user_id)
    with audit.record(actor, AuditAction.DELETE, key) as entry:
        entry.status_code = 204
        if not ApiKey.objects.filter(pk=key.pk).delete()[0]:
            raise NotFound
