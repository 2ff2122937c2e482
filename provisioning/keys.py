"""Keys of daemons that reach us over HTTPS: make, list, revoke, recognise.

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
    """A daemon that showed a key that counts."""

    key_id: uuid.UUID
    organization_id: uuid.UUID | None
    tags: dict[str, str]


# ---------------------------------------------------------------------- for people
def create(
    actor: Actor,
    organization: Organization | None,
    *,
    name: str,
    tags: Mapping[str, str] | None = None,
    lifetime_seconds: int = 0,
) -> tuple[ProvisionerKey, str]:
    """A new key and the only copy of it; ``organization`` None is for all of them, which owners alone may make.

    Tags are added to the default ones. A lifetime of 0 has no end. Raises NotFound, Forbidden, Invalid, and Conflict
    for a name that a live key has.
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
    """The keys of an organization (None: those of all organizations) that were not revoked, by name.

    Raises NotFound and Forbidden.
    """
    # Any member may see that there are daemons; whose keys they use is for those who make them.
    _authorize(actor, Action.UPDATE, organization)
    keys = ProvisionerKey.objects.filter(organization=organization, revoked_at=None)
    return keys.select_related("created_by", "organization").order_by("name")


def may_keep_global_keys(actor: Actor) -> bool:
    """Whether the actor may deal with keys for all organizations: owners alone."""
    return actor.scope == KeyScope.ALL and SiteRole.OWNER in actor.site_roles


def organizations_with_keys(actor: Actor) -> QuerySet[Organization]:
    """The organizations in which the actor may make and revoke keys."""
    if allowed_everywhere(actor, Action.UPDATE, Resource.PROVISIONER_DAEMON):
        return Organization.objects.all()
    managed = organizations_where(actor, Action.UPDATE, Resource.PROVISIONER_DAEMON)
    return Organization.objects.filter(pk__any=managed)


def may_keep_keys(actor: Actor) -> bool:
    """Whether there are organizations in which the actor may make and revoke keys."""
    return allowed_everywhere(actor, Action.UPDATE, Resource.PROVISIONER_DAEMON) or bool(
        organizations_where(actor, Action.UPDATE, Resource.PROVISIONER_DAEMON)
    )


def visible_keys(actor: Actor) -> QuerySet[ProvisionerKey]:
    """The keys, revoked ones included, that the actor may deal with."""
    condition = Q(organization__in=organizations_with_keys(actor))
    if may_keep_global_keys(actor):
        condition |= Q(organization=None)
    return ProvisionerKey.objects.filter(condition).select_related("created_by", "organization")


def revoke(actor: Actor, organization: Organization | None, name: str) -> None:
    """End a key's rights, with the daemon's next request. Its row stays. Raises NotFound and Forbidden."""
    _authorize(actor, Action.DELETE, organization)
    key = ProvisionerKey.objects.filter(organization=organization, revoked_at=None, name__iexact=name).first()
    if key is None:
        raise NotFound
    revoke_key(actor, key)


def revoke_key(actor: Actor, key: ProvisionerKey) -> None:
    """The same for a key that was found already. Raises NotFound and Forbidden."""
    _authorize(actor, Action.DELETE, key.organization)
    with audit.record(actor, AuditAction.DELETE, key) as entry:
        if not ProvisionerKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=Now()):
            raise NotFound
        key.refresh_from_db()
        entry.after = key


def _authorize(actor: Actor, action: Action, organization: Organization | None) -> None:
    if organization is not None:
        authorize(actor, action, Resource.PROVISIONER_DAEMON, organization_id=organization.pk)
    elif not may_keep_global_keys(actor):
        raise Forbidden("Only owners may deal with keys for all organizations.")


def _check_name(name: str) -> None:
    if len(name) > MAX_NAME or not NAME_PATTERN.fullmatch(name):
        raise Invalid.field("name", f"Must be letters and digits, with single hyphens between, at most {MAX_NAME}.")


def _check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > MAX_TAGS:
        raise Invalid.field("tags", f"Must be at most {MAX_TAGS} tags.")
    for text in (*tags, *tags.values()):
        if not text or len(text) > MAX_TAG_CHARACTERS or not text.isprintable():
            raise Invalid.field("tags", f"Must be printable texts of 1 to {MAX_TAG_CHARACTERS} characters.")


# ---------------------------------------------------------------------- for daemons
def recognise(token: str) -> KeyHolder:
    """Who shows this key. Raises KeyNotAccepted for anything that does not count (any more)."""
    match = KEY_PATTERN.fullmatch(token)
    if match is None:
        raise KeyNotAccepted
    key = ProvisionerKey.objects.filter(pk=uuid.UUID(match[1])).first()
    # An unknown id is compared as well, so that both cases take the same time.
    matches = hmac.compare_digest(bytes(key.hashed_secret) if key else bytes(32), _hash(match[2]))
    now = datetime.now(UTC)
    if key is None or not matches or key.revoked_at or (key.expires_at and key.expires_at <= now):
        raise KeyNotAccepted
    if key.last_used is None or now - key.last_used > TOUCH_INTERVAL:
        ProvisionerKey.objects.filter(pk=key.pk).update(last_used=now)
    return KeyHolder(key.pk, key.organization_id, dict(key.tags))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
