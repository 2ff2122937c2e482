"""Creating and parsing tokens: ``<id>-<secret>``, with 10 and 22 letters or digits."""

import hashlib
import re
import secrets
import string
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction

from coderproj.base.errors import Conflict, Problem, SignInRequired
from coderproj.identity.models import ApiKey, KeyScope, LoginType, User, UserStatus

ALPHABET = string.ascii_letters + string.digits
ID_LENGTH = 10
SECRET_LENGTH = 22
TOKEN_PATTERN = re.compile(rf"([A-Za-z0-9]{{{ID_LENGTH}}})-([A-Za-z0-9]{{{SECRET_LENGTH}}})")
TOUCH_INTERVAL = timedelta(hours=1)


class AccountChanged(Conflict):
    """The user was suspended or deleted, or their password was changed, before the key was created."""

    message = "The account was changed in the meantime. Try again."


def parse_token(token: str) -> tuple[str, str]:
    """Return the id and the secret of a token. Raises SignInRequired for another format."""
    match = TOKEN_PATTERN.fullmatch(token)
    if match is None:
        raise SignInRequired(detail="The session token is malformed.")
    return match[1], match[2]


def issue(
    *,
    user: User,
    login_type: LoginType = LoginType.PASSWORD,
    lifetime_seconds: int | None = None,
    scope: KeyScope = KeyScope.ALL,
    name: str = "",
    ip: str | None = None,
    in_use: bool = True,
    checked_password: str | None = None,
) -> tuple[ApiKey, str]:
    """Create a key. Return it with its token, which is not stored. The lifetime defaults to that of a session.

    The user's row is locked and read again, so that a change of password or status that happens at the same moment
    either ends this key or prevents it. ``checked_password`` is the stored hash that the caller has compared a password
    with. ``in_use`` sets ``last_used`` of a session, so that its first request does not have to update it. Raises
    AccountChanged, and Conflict if the user has a key with this name.
    """
    lifetime = lifetime_seconds or settings.SESSION_LIFETIME_SECONDS
    secret = _random(SECRET_LENGTH)
    now = datetime.now(UTC)
    key = ApiKey(
        id=_random(ID_LENGTH),
        hashed_secret=hashlib.sha256(secret.encode()).digest(),
        user=user,
        name=name,
        login_type=login_type,
        scope=scope,
        lifetime_seconds=lifetime,
        last_used=now if in_use and login_type == LoginType.PASSWORD else None,
        expires_at=now + timedelta(seconds=lifetime),
        ip_address=ip,
    )
    try:
        with transaction.atomic():
            _lock_unchanged(user, checked_password)
            key.save(force_insert=True)
    except IntegrityError:
        taken = Problem("token_name", "This value is already in use and should be unique.")
        raise Conflict(f"A token named {name!r} already exists.", problems=(taken,)) from None
    return key, f"{key.pk}-{secret}"


def _lock_unchanged(user: User, checked_password: str | None) -> None:
    """Lock the user's row until the transaction ends. Raises AccountChanged unless the user is active and has the
    password that was checked."""
    rows = User.objects.select_for_update(no_key=True).filter(pk=user.pk, deleted=False, status=UserStatus.ACTIVE)
    passwords = list(rows.values_list("password", flat=True))
    if not passwords or checked_password not in {None, *passwords}:
        raise AccountChanged


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
