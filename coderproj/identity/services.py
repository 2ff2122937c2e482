"""Services for the first user, sessions and tokens, used by API, pages and commands."""

from contextlib import suppress

from django.conf import settings
from django.contrib.auth import authenticate
from django.db import connection, transaction
from django.db.models import QuerySet

from coderproj.base.errors import Conflict, DomainError, Invalid, NotFound, SignInRequired
from coderproj.identity import audit, tokens
from coderproj.identity.actor import Actor, Client
from coderproj.identity.limits import count_wrong_password, require_account_attempt
from coderproj.identity.models import ApiKey, AuditAction, KeyScope, LoginType, Organization, User
from coderproj.identity.organizations import new_organization
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, authorize
from coderproj.identity.roles import SiteRole
from coderproj.identity.users import new_user

# Advisory lock for the creation of the first user, so that only one is created.
FIRST_USER_LOCK = 0x636F6465


class AlreadySetUp(Conflict):
    message = "The initial user has already been created!"


class WrongCredentials(DomainError):
    """An unknown address, a wrong password or a suspended user. All give the same response."""

    status_code = 401
    message = "Incorrect email or password."


def first_user_exists() -> bool:
    """Return True if the deployment has a user."""
    return User.objects.existing().exists()


def create_first_user(
    *, username: str, email: str, password: str, name: str = "", client: Client | None = None
) -> tuple[User, Organization]:
    """Create an owner and the default organization, which is named after them.

    Raises AlreadySetUp if a user exists, Invalid for a weak password.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [FIRST_USER_LOCK])
        if first_user_exists():
            raise AlreadySetUp
        user = new_user(username=username, email=email, password=password, name=name, site_roles=[SiteRole.OWNER])
        organization = new_organization(user.pk, name=username, is_default=True)
    with audit.record(Actor.of(user, client=client), AuditAction.CREATE) as entry:
        entry.after, entry.status_code = user, 201
    return user, organization


# ---------------------------------------------------------------------- sessions
def log_in(*, email: str, password: str, client: Client) -> tuple[User, str]:
    """Create a session for the user with this address and password. Return user and token.

    Raises WrongCredentials, and RateLimited after too many wrong passwords for this account.
    """
    require_account_attempt(email)
    user = authenticate(username=email, password=password)
    if not isinstance(user, User):
        count_wrong_password(email)
        audit.record_failed_sign_in(User.objects.existing().filter(email__iexact=email).first(), client)
        raise WrongCredentials
    return user, start_session(user, client)


def start_session(user: User, client: Client) -> str:
    """Create a session for a user whose password was checked. Return its token. Raises WrongCredentials if the account
    was changed in the meantime."""
    try:
        with audit.record(Actor.of(user, client=client), AuditAction.LOGIN) as entry:
            key, token = tokens.issue(user=user, ip=client.ip, checked_password=user.password)
            User.objects.filter(pk=user.pk).update(last_seen_at=key.last_used)
            entry.after, entry.status_code = key, 201
    except tokens.AccountChanged:
        raise WrongCredentials from None
    return token


def log_out(actor: Actor) -> None:
    """Revoke the actor's current session."""
    key = ApiKey.objects.filter(pk=actor.key_id).first()
    if key is None:
        return
    # Another request can sign out the same session at the same time.
    with suppress(NotFound), audit.record(actor, AuditAction.LOGOUT, key, accounts=[key.user_id]):
        ApiKey.objects.filter(pk=key.pk).delete()


# ---------------------------------------------------------------------- tokens
def token_lifetime(seconds: int, *, field: str) -> int:
    """Return the lifetime of a token in seconds; 0 means the default. Raises Invalid on ``field`` above the limit."""
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
    """Create an API token for the actor, or for any user as an owner. Return the token, which is not stored.

    Raises NotFound if the actor may not create keys for the user; Conflict for a taken name; DomainError for a
    suspended user; SignInRequired if the actor's own key has ended in the meantime.
    """
    authorize(actor, Action.CREATE, Resource.API_KEY, owner_id=user.pk)
    if not user.is_active:
        raise DomainError("Tokens cannot be created for a suspended user.")
    with audit.record(actor, AuditAction.CREATE, accounts=[actor.id, user.pk]) as entry:
        # A key that has ended must not leave a new one behind.
        if actor.key_id and not ApiKey.objects.filter(pk=actor.key_id).exists():
            raise SignInRequired
        key, token = tokens.issue(
            user=user, login_type=login_type, lifetime_seconds=lifetime_seconds, scope=scope, name=name, in_use=False
        )
        entry.after, entry.status_code = key, 201
    return token


def list_tokens(actor: Actor, user: User) -> QuerySet[ApiKey]:
    """Return the API tokens of a user without sessions, oldest first. Raises NotFound for another user's tokens."""
    authorize(actor, Action.READ, Resource.API_KEY, owner_id=user.pk)
    return _tokens().filter(user=user)


def tokens_of_all(actor: Actor) -> QuerySet[ApiKey]:
    """Return the API tokens that the actor may read, oldest first: those of all users for an owner, else their own."""
    if allowed_everywhere(actor, Action.READ, Resource.API_KEY):
        return _tokens().filter(user__deleted=False)
    return _tokens().filter(user=actor.id)


def _tokens() -> QuerySet[ApiKey]:
    found = ApiKey.objects.filter(login_type=LoginType.TOKEN)
    return found.select_related("user").order_by("created_at", "id")


def find_key(actor: Actor, user: User, *, key_id: str = "", name: str = "") -> ApiKey:
    """Return a key of a user by id or by name. Raises NotFound, also for another user's keys."""
    authorize(actor, Action.READ, Resource.API_KEY, owner_id=user.pk)
    keys = ApiKey.objects.filter(user=user).select_related("user")
    key = keys.filter(pk=key_id).first() if key_id else keys.filter(name=name).exclude(name="").first()
    if key is None:
        raise NotFound
    return key


def revoke_key(actor: Actor, key: ApiKey) -> None:
    """Revoke a key at once. Raises NotFound for another user's key or one that is already revoked."""
    authorize(actor, Action.DELETE, Resource.API_KEY, owner_id=key.user_id)
    with audit.record(actor, AuditAction.DELETE, key, accounts=[key.user_id]) as entry:
        entry.status_code = 204
        if not ApiKey.objects.filter(pk=key.pk).delete()[0]:
            raise NotFound
