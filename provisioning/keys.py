"""Keys of daemons that connect over HTTPS: create, list, revoke, authenticate.

A key is ``pdk-<id>-<secret>``: 32 hexadecimal digits and 43 letters or digits.
"""

import hashlib
import hmac
import re
import secrets
import string
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from coderproj.base.errors import Conflict, Forbidden, Invalid, NotFound, SignInRequired
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction, KeyScope, Organization
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, authorize, organizations_where
from coderproj.identity.roles import SiteRole
from provisioning.models import DEFAULT_TAGS, ProvisionerKey

ALPHABET = string.ascii_letters + string.digits
SECRET_LENGTH = 43
KEY_PATTERN = re.compile(rf"pdk-([0-9a-f]{{32}})-([A-Za-z0-9]{{{SECRET_LENGTH}}})")
NAME_PATTERN = re.compile(r"[A-Za-z0-9](?:-?[A-Za-z0-9])*")
MAX_NAME = 64
MAX_TAGS = 16
MAX_TAG_CHARACTERS = 128
TOUCH_INTERVAL = timedelta(minutes=1)


class KeyNotAccepted(SignInRequired):
    message = "The daemon's key is missing, unknown, expired or revoked."


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """The identity of a daemon that sent a valid key."""

    key_id: uuid.UUID
    organization_id: uuid.UUID | None
    tags: dict[str, str]


# ---------------------------------------------------------------------- management by users
def create(
    actor: Actor,
    organization: Organization | None,
    *,
    name: str,
    tags: Mapping[str, str] | None = None,
    lifetime_seconds: int = 0,
) -> tuple[ProvisionerKey, str]:
    """Create a key. Returns its row and the only copy of the key itself.

    ``organization`` None means all organizations; only owners may create such keys. Tags are added to the default
    tags. A lifetime of 0 is unlimited. Raises NotFound, Forbidden, Invalid, and Conflict for the name of a key that is
    not revoked.
    """
    _authorize(actor, Action.CREATE, organization)
    _check_name(name)
    wanted = DEFAULT_TAGS | dict(tags or {})
    _check_tags(wanted)
    secret = "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH))
    key = ProvisionerKey(
        name=name,
        hashed_secret=_hash(secret),
        organization=organization,
        tags=wanted,
        created_by_id=actor.id,
        expires_at=datetime.now(UTC) + timedelta(seconds=lifetime_seconds) if lifetime_seconds else None,
    )
    with audit.record(actor, AuditAction.CREATE) as entry:
        try:
            with transaction.atomic():
                key.save(force_insert=True)
        except IntegrityError:
            raise Conflict.taken("provisioner key", name) from None
        entry.after, entry.status_code = key, 201
    return key, f"pdk-{key.pk.hex}-{secret}"


def keys_of(actor: Actor, organization: Organization | None) -> QuerySet[ProvisionerKey]:
    """Return the keys of an organization (None: the keys for all organizations) that are not revoked, by name.

    Raises NotFound and Forbidden.
    """
    # Every member may see the daemons; only users who may create keys may see the keys.
    _authorize(actor, Action.UPDATE, organization)
    keys = ProvisionerKey.objects.filter(organization=organization, revoked_at=None)
    return keys.select_related("created_by", "organization").order_by("name")


def may_manage_global_keys(actor: Actor) -> bool:
    """Return True if the actor may manage keys for all organizations: only owners may."""
    return actor.scope == KeyScope.ALL and SiteRole.OWNER in actor.site_roles


def organizations_with_keys(actor: Actor) -> QuerySet[Organization]:
    """Return the organizations in which the actor may create and revoke keys."""
    if allowed_everywhere(actor, Action.UPDATE, Resource.PROVISIONER_DAEMON):
        return Organization.objects.existing()
    managed = organizations_where(actor, Action.UPDATE, Resource.PROVISIONER_DAEMON)
    return Organization.objects.existing().filter(pk__any=managed)


def may_manage_keys(actor: Actor) -> bool:
    """Return True if there are organizations in which the actor may create and revoke keys."""
    return allowed_everywhere(actor, Action.UPDATE, Resource.PROVISIONER_DAEMON) or bool(
        organizations_where(actor, Action.UPDATE, Resource.PROVISIONER_DAEMON)
    )


def visible_keys(actor: Actor) -> QuerySet[ProvisionerKey]:
    """Return the keys that the actor may manage, including revoked ones."""
    condition = Q(organization__in=organizations_with_keys(actor))
    if may_manage_global_keys(actor):
        condition |= Q(organization=None)
    return ProvisionerKey.objects.filter(condition).select_related("created_by", "organization")


def revoke(actor: Actor, organization: Organization | None, name: str) -> None:
    """Revoke a key, effective with the daemon's next request. Its row stays. Raises NotFound and Forbidden."""
    _authorize(actor, Action.DELETE, organization)
    key = ProvisionerKey.objects.filter(organization=organization, revoked_at=None, name__iexact=name).first()
    if key is None:
        raise NotFound
    revoke_key(actor, key)


def revoke_key(actor: Actor, key: ProvisionerKey) -> None:
    """Revoke the key of a row. Raises NotFound and Forbidden."""
    _authorize(actor, Action.DELETE, key.organization)
    with audit.record(actor, AuditAction.DELETE, key) as entry:
        if not ProvisionerKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=Now()):
            raise NotFound
        key.refresh_from_db()
        entry.after = key


def _authorize(actor: Actor, action: Action, organization: Organization | None) -> None:
    if organization is not None:
        authorize(actor, action, Resource.PROVISIONER_DAEMON, organization_id=organization.pk)
    elif not may_manage_global_keys(actor):
        raise Forbidden("Only owners may manage keys for all organizations.")


def _check_name(name: str) -> None:
    if len(name) > MAX_NAME or not NAME_PATTERN.fullmatch(name):
        raise Invalid.field("name", f"Must be at most {MAX_NAME} letters and digits, with single hyphens between them.")


def _check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > MAX_TAGS:
        raise Invalid.field("tags", f"Must have at most {MAX_TAGS} tags.")
    for text in (*tags, *tags.values()):
        if not text or len(text) > MAX_TAG_CHARACTERS or not text.isprintable():
            raise Invalid.field(
                "tags", f"Names and values must be printable text of 1 to {MAX_TAG_CHARACTERS} characters."
            )


# ---------------------------------------------------------------------- authentication of daemons
def authenticate(token: str) -> KeyHolder:
    """Return the holder of a key. Raises KeyNotAccepted when it is malformed, unknown, expired or revoked."""
    match = KEY_PATTERN.fullmatch(token)
    if match is None:
        raise KeyNotAccepted
    key = ProvisionerKey.objects.filter(pk=uuid.UUID(match[1])).first()
    # The secret is compared for unknown ids as well, so that both cases take the same time.
    matches = hmac.compare_digest(bytes(key.hashed_secret) if key else bytes(32), _hash(match[2]))
    now = datetime.now(UTC)
    if key is None or not matches or key.revoked_at or (key.expires_at and key.expires_at <= now):
        raise KeyNotAccepted
    if key.last_used is None or now - key.last_used > TOUCH_INTERVAL:
        ProvisionerKey.objects.filter(pk=key.pk).update(last_used=now)
    return KeyHolder(key.pk, key.organization_id, dict(key.tags))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
