"""The first user of the deployment that ``manage.py up`` serves, and the initial password.

A password that ``up`` generates is kept in a file in the data folder until it is changed, so the operator can sign in
without the output of the first start. Until then, the settings ``CODERPROJ_ADMIN_EMAIL`` and
``CODERPROJ_ADMIN_PASSWORD`` still apply: the demonstration or an earlier start can have created the user without them.
"""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from coderproj.base.errors import Invalid
from coderproj.identity import services
from coderproj.identity.actor import Actor
from coderproj.identity.models import User
from coderproj.identity.roles import SiteRole
from coderproj.identity.users import change_password, update_profile

DEFAULT_EMAIL = "admin@example.com"
USERNAME = "admin"


def password_file() -> Path:
    """Return the path of the file with the generated password."""
    return Path(settings.DATA_DIR) / "initial-password"


def checked_file() -> Path:
    """Return the path of the file with a digest of the generated password and the stored hash that it belongs to."""
    return Path(settings.DATA_DIR) / "initial-password.checked"


def first_owner() -> User | None:
    """Return the deployment's oldest owner, None without one."""
    return User.objects.existing().filter(site_roles__contains=[SiteRole.OWNER]).order_by("created_at").first()


def set_up() -> list[str]:
    """Create the first user if there is none, and apply the settings while their password is the generated one.

    Returns lines to print for the operator. Raises DomainError for an invalid address or a weak password.
    """
    try:
        validate_email(settings.ADMIN_EMAIL or DEFAULT_EMAIL)
    except ValidationError:
        raise Invalid.field("CODERPROJ_ADMIN_EMAIL", f"{settings.ADMIN_EMAIL!r} is not an email address.") from None
    if not services.first_user_exists():
        return [create()]
    owner = first_owner()
    if owner is None:
        return []
    return list(settings_applied(owner))


def create() -> str:
    """Create the first user from the settings. Return a line for the operator."""
    email = settings.ADMIN_EMAIL or DEFAULT_EMAIL
    password = settings.ADMIN_PASSWORD or secrets.token_urlsafe(12)
    if not settings.ADMIN_PASSWORD:
        # Before the user exists: a start that ends here loses no password.
        write_private(password_file(), f"{password}\n")
    services.create_first_user(username=USERNAME, email=email, password=password)
    if settings.ADMIN_PASSWORD:
        return f"First user: {email}, with the password from CODERPROJ_ADMIN_PASSWORD."
    return f"First user: {email}, with {where()}."


def settings_applied(owner: User) -> Iterator[str]:
    """Apply the settings to the owner whose password is still the generated one. Yield lines for the operator, also
    about a setting that does not apply."""
    email, password = settings.ADMIN_EMAIL, settings.ADMIN_PASSWORD
    other = User.objects.existing().filter(email__iexact=email).exclude(pk=owner.pk).first()
    if other is None and has_initial_password(owner):
        if email and email.lower() != owner.email.lower():
            owner = update_profile(Actor.of(owner), owner, {"email": email})
            yield f"First user: the address is now {email}, from CODERPROJ_ADMIN_EMAIL."
        if password:
            change_password(Actor.of(owner), owner, password=password, old_password=None)
            forget()
            yield f"First user: {owner.email}, now with the password from CODERPROJ_ADMIN_PASSWORD."
        else:
            yield f"First user: {owner.email}, with {where()}."
        return
    owner = other or owner
    if email and email.lower() != owner.email.lower():
        yield f"CODERPROJ_ADMIN_EMAIL is not used: the first user exists, with the address {owner.email}."
    if password and not owner.check_password(password):
        yield (
            f"CODERPROJ_ADMIN_PASSWORD is not used: {owner.email} exists and has another password. "
            f"To set a new one: manage.py users password {owner.username}"
        )


def hint() -> str:
    """Return how to sign in as the first owner, an empty text without one."""
    owner = first_owner()
    if owner is None:
        return ""
    return f"sign in as {owner.email} with {where() if has_initial_password(owner) else 'your password'}"


def has_initial_password(owner: User) -> bool:
    """Return True if the owner still has the generated password. The file is removed if its password is out of date."""
    try:
        password = password_file().read_text().strip()
    except OSError:
        return False
    # Checking a password takes half a second, so each start but the first compares what was checked before.
    digest = hashlib.sha256(f"{owner.password}\0{password}".encode()).hexdigest()
    with suppress(OSError):
        if checked_file().read_text() == digest:
            return True
    if owner.check_password(password):
        with suppress(OSError):
            write_private(checked_file(), digest)
        return True
    with suppress(OSError):
        forget()
    return False


def where() -> str:
    """Return where the generated password is, as the end of a sentence."""
    return f"the password in {password_file()}"


def forget() -> None:
    """Remove the file with the generated password."""
    password_file().unlink(missing_ok=True)
    checked_file().unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write a file, readable for this account only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
