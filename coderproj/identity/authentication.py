"""Load the actor for the token of a request, with one query."""

import hashlib
import hmac
import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cachetools import FIFOCache
from django.conf import settings
from django.db import connection
from django.http import HttpRequest

from coderproj.base.errors import SignInRequired
from coderproj.identity.actor import Actor, Client
from coderproj.identity.tokens import TOUCH_INTERVAL, parse_token
from coderproj.web import addresses

SESSION_COOKIE = "coder_session_token"
APP_COOKIE = "coder_devurl_session_token"
SESSION_HEADER = "HTTP_CODER_SESSION_TOKEN"

# Key, user, memberships and groups. The id of an ``Everyone`` group is the organization's.
ACTOR_SQL = """
SELECT k.hashed_secret, k.expires_at, k.last_used, k.lifetime_seconds, k.scope,
       u.id, u.username, u.email, u.rbac_roles,
       ARRAY(SELECT concat(m.organization_id, ':', array_to_string(m.roles, ','))
               FROM identity_membership m WHERE m.user_id = u.id ORDER BY m.id),
       ARRAY(SELECT gm.group_id FROM identity_groupmembership gm
               JOIN identity_group g ON g.id = gm.group_id
               JOIN identity_membership m ON m.organization_id = g.organization_id AND m.user_id = u.id
              WHERE gm.user_id = u.id)
  FROM identity_apikey k JOIN identity_user u ON u.id = k.user_id
 WHERE k.id = %s AND u.status = 'active' AND NOT u.deleted
"""

# The same for several keys, after the id of each.
ACTORS_SQL = ACTOR_SQL.replace("SELECT k.", "SELECT k.id, k.", 1).replace("k.id = %s", "k.id = ANY(%s)")
# The same, with all of it as one text: the actor is unchanged while the text is equal.
ACTOR_WITH_FACTS_SQL = f"SELECT actor_.*, actor_::text FROM ({ACTOR_SQL}) actor_"  # noqa: S608 - a constant
# The hash of a key whose user is suspended: it ended with the suspension, or was issued before by other means.
SUSPENDED_SQL = """
SELECT hashed_secret FROM identity_suspendedkey WHERE id = %s
UNION ALL
SELECT k.hashed_secret FROM identity_apikey k JOIN identity_user u ON u.id = k.user_id
 WHERE k.id = %s AND u.status = 'suspended' AND NOT u.deleted
"""
# The maximum number of cached actors; the oldest entry is removed first.
CACHED_ACTORS = 4096


# Parameters by statement; those that follow from the actor have their values.
Parameters = dict[object, list[bytes | None]]


@dataclass(slots=True)
class Proof:
    """The facts about a cached actor: ``facts`` is the row of ACTOR_SQL as one text. ``given`` is True once a statement
    of this request has found the same facts. ``parameters`` caches the parameters that statements have computed from
    these facts."""

    facts: str
    parameters: Parameters = field(default_factory=dict)
    given: bool = False


@dataclass(frozen=True, slots=True)
class CachedActor(Actor):
    """The actor of a token as an earlier request found it, not yet trusted.

    Every statement of a ``compiled.Read`` for it returns a row only while ``proof.facts`` are still true, so that a
    revoked key, a suspended user or a changed role takes effect at once. Send no response before ``proof.given``.
    It has no ``client``: such reads are not audited.
    """

    proof: Proof = field(default_factory=lambda: Proof(""))


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """The cached actor of a token. The times determine whether the entry can be used without reading the key; a use of
    the key must be recorded from ``touch_at`` on."""

    actor: Actor
    facts: str
    expires_at: datetime
    touch_at: datetime
    parameters: Parameters


class AccountSuspended(SignInRequired):
    """The user of the token is suspended."""

    message = "Your account is suspended. An administrator has to activate it before you can sign in again."


class ActorCache:
    """Actors by the SHA-256 of their token, for one process. Safe to use from several threads."""

    def __init__(self) -> None:
        self._entries: FIFOCache[bytes, CacheEntry] = FIFOCache(CACHED_ACTORS)
        self._lock = threading.Lock()

    def get(self, token: str) -> CacheEntry | None:
        try:
            return self._entries[_digest(token)]  # without the lock: a FIFO cache does not change when it is read
        except KeyError:
            return None

    def put(self, token: str, entry: CacheEntry) -> None:
        with self._lock:
            self._entries[_digest(token)] = entry

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()


actor_cache = ActorCache()


def carried_token(request: HttpRequest) -> tuple[str, bool]:
    """Return the token of a request, or ``""``, and whether it came from a cookie."""
    return token_in(request.COOKIES, request.META)


def token_in(cookies: Mapping[str, str], environ: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the token in the cookies or headers of a request, or ``""``, and whether it came from a cookie."""
    if cookie := cookies.get(SESSION_COOKIE):
        return cookie, True
    if header := environ.get(SESSION_HEADER):
        return header, False
    return cookies.get(APP_COOKIE, ""), True


def client_of(request: HttpRequest) -> Client:
    """Return address, user agent and request id. ``X-Forwarded-For`` is used only for hops in ``TRUSTED_PROXIES``."""
    meta = request.META
    return Client(
        ip=addresses.caller(
            meta.get("REMOTE_ADDR", ""), meta.get("HTTP_X_FORWARDED_FOR", ""), settings.TRUSTED_PROXIES
        ),
        user_agent=meta.get("HTTP_USER_AGENT", "")[:256],
        request_id=getattr(request, "request_id", None),
    )


def actor_for_token(token: str, client: Client) -> Actor:
    """Return the actor for ``<id>-<secret>``. Raises SignInRequired for an invalid, unknown, expired or revoked token,
    and AccountSuspended for one of a suspended user."""
    key_id, secret = parse_token(token)
    with connection.cursor() as cursor:
        cursor.execute(ACTOR_WITH_FACTS_SQL, [key_id])
        row = cursor.fetchone()
    now = datetime.now(UTC)
    # Compare for an unknown id as well, so that both cases take the same time.
    stored = bytes(row[0]) if row else bytes(32)
    digest = hashlib.sha256(secret.encode()).digest()
    matches = hmac.compare_digest(stored, digest)
    if row is None or not matches:
        if _is_suspended(key_id, digest):
            raise AccountSuspended
        raise SignInRequired(detail="The session token is unknown or was revoked.")
    *columns, facts = row
    _, expires_at, last_used, lifetime, _, user_id, *_ = columns
    if expires_at <= now:
        raise SignInRequired(detail="The session has expired.")
    # A use is recorded once an hour, and the expiry slides after the first hour of the lifetime.
    slide_at = expires_at - timedelta(seconds=lifetime) + TOUCH_INTERVAL
    touch_at = min(last_used + TOUCH_INTERVAL, slide_at) if last_used is not None else now
    if touch_at <= now:
        touch(key_id, user_id, expires_at, lifetime, now, client)
    actor = _actor(key_id, columns, client)
    if last_used is not None:
        known = actor_cache.get(token)
        parameters = known.parameters if known is not None and known.facts == facts else {}
        actor_cache.put(token, CacheEntry(actor, facts, expires_at, touch_at, parameters))
    return actor


def _actor(key_id: str, columns: Sequence[Any], client: Client) -> Actor:
    """Return the actor for the columns of ACTOR_SQL."""
    *_, scope, user_id, username, email, roles, memberships, groups = columns
    organization_roles = dict(map(_membership, memberships))
    return Actor(
        id=user_id,
        username=username,
        email=email,
        site_roles=frozenset(roles),
        organization_roles=organization_roles,
        group_ids=frozenset(groups) | frozenset(organization_roles),
        scope=scope,
        key_id=key_id,
        client=client,
    )


def valid_actors(rows: Iterable[Sequence[Any]]) -> dict[str, Actor]:
    """Return the actors for rows of ACTORS_SQL by the id of the key, without those whose key has expired."""
    now = datetime.now(UTC)
    return {key_id: _actor(key_id, columns, Client()) for key_id, *columns in rows if columns[1] > now}


def _is_suspended(key_id: str, digest: bytes) -> bool:
    """Return True if the key with this id and hash belongs to a suspended user. Runs for rejected tokens only."""
    with connection.cursor() as cursor:
        cursor.execute(SUSPENDED_SQL, [key_id, key_id])
        row = cursor.fetchone()
    return hmac.compare_digest(bytes(row[0]) if row else bytes(32), digest)


def _membership(text: str) -> tuple[uuid.UUID, frozenset[str]]:
    """Return an organization's id and the roles in it, from ``<id>:<role>,<role>`` of ACTOR_SQL."""
    organization, _, roles = text.partition(":")
    return uuid.UUID(organization), frozenset(roles.split(",")) if roles else frozenset()


def cached_actor(request: HttpRequest) -> CachedActor | None:
    """Return the cached actor of the request's token; None if there is none, the key has expired, or its use must be
    recorded."""
    token, _ = carried_token(request)
    entry = actor_cache.get(token) if token else None
    if entry is None:
        return None
    now = datetime.now(UTC)
    if entry.expires_at <= now or entry.touch_at <= now:
        return None
    actor = entry.actor
    return CachedActor(
        id=actor.id,
        username=actor.username,
        email=actor.email,
        site_roles=actor.site_roles,
        organization_roles=actor.organization_roles,
        group_ids=actor.group_ids,
        scope=actor.scope,
        key_id=actor.key_id,
        proof=Proof(entry.facts, entry.parameters),
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def touch(key_id: str, user_id: uuid.UUID, expires_at: datetime, lifetime: int, now: datetime, client: Client) -> None:
    """Record the use of a key, and slide its expiry if at least an hour of the lifetime has passed."""
    whole = now + timedelta(seconds=lifetime)
    slid = whole if whole - expires_at >= TOUCH_INTERVAL else expires_at
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE identity_apikey SET last_used = %s, updated_at = %s, ip_address = %s, expires_at = %s"
            " WHERE id = %s",
            [now, now, client.ip, slid, key_id],
        )
        cursor.execute("UPDATE identity_user SET last_seen_at = %s WHERE id = %s", [now, user_id])
