"""From a request's token to its actor, in one query."""

import hashlib
import hmac
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from coderproj.api.errors import CHALLENGE
from coderproj.errors import Forbidden, SignInRequired
from coderproj.identity.actor import Actor, Client
from coderproj.identity.models import ApiKey
from coderproj.identity.tokens import TOUCH_INTERVAL, parse_token

SESSION_COOKIE = "coder_session_token"
SESSION_HEADER = "HTTP_CODER_SESSION_TOKEN"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# Token, user, memberships and groups. ``Everyone`` groups carry their organization's id.
ACTOR_SQL = """
SELECT k.hashed_secret, k.expires_at, k.last_used, k.lifetime_seconds, k.scope,
       u.id, u.username, u.email, u.rbac_roles,
       ARRAY(SELECT m.organization_id FROM identity_membership m WHERE m.user_id = u.id ORDER BY m.id),
       ARRAY(SELECT array_to_string(m.roles, ',') FROM identity_membership m WHERE m.user_id = u.id ORDER BY m.id),
       ARRAY(SELECT gm.group_id FROM identity_groupmembership gm
               JOIN identity_group g ON g.id = gm.group_id
               JOIN identity_membership m ON m.organization_id = g.organization_id AND m.user_id = u.id
              WHERE gm.user_id = u.id)
  FROM identity_apikey k JOIN identity_user u ON u.id = k.user_id
 WHERE k.id = %s AND u.status = 'active' AND NOT u.deleted
"""


class TokenAuthentication(BaseAuthentication):
    """Reads the session token from the cookie, else from the header; an empty one counts as none.

    The query parameter is read only where ``streaming`` asks for it: on the log WebSocket.
    """

    def authenticate(self, request: Request) -> tuple[Actor, str] | None:
        token, from_cookie = carried_token(request._request)
        if not token:
            return None
        if from_cookie and request.method not in SAFE_METHODS:
            refuse_cross_site(request._request)
        return actor_for_token(token, client_of(request._request)), token

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def carried_token(request: HttpRequest) -> tuple[str, bool]:
    """The token of a request and whether a cookie carried it."""
    cookie = request.COOKIES.get(SESSION_COOKIE, "")
    if cookie:
        return cookie, True
    return request.META.get(SESSION_HEADER, ""), False


def refuse_cross_site(request: HttpRequest) -> None:
    """Raise Forbidden for a cookie-only write that another site's page sent."""
    site = request.META.get("HTTP_SEC_FETCH_SITE", "")
    origin = request.META.get("HTTP_ORIGIN", "")
    if site in {"cross-site", "same-site"} or (origin and not same_origin(origin, request.META.get("HTTP_HOST", ""))):
        raise Forbidden("A page of another site may not use your session.")


def same_origin(origin: str, host: str) -> bool:
    """Whether an ``Origin`` names this host. ``null`` and anything unreadable do not."""
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def client_of(request: HttpRequest) -> Client:
    """Address, user agent and request id. ``X-Forwarded-For`` counts only when a named proxy sent it."""
    address = request.META.get("REMOTE_ADDR") or None
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    if forwarded and address in settings.TRUSTED_PROXIES:
        address = forwarded.rsplit(",", 1)[-1].strip() or address
    return Client(
        ip=address,
        user_agent=request.META.get("HTTP_USER_AGENT", "")[:256],
        request_id=getattr(request, "request_id", None),
    )


def actor_for_token(token: str, client: Client) -> Actor:
    """The actor behind ``<id>-<secret>``. Raises SignInRequired for anything that does not count (any more)."""
    key_id, secret = parse_token(token)
    with connection.cursor() as cursor:
        cursor.execute(ACTOR_SQL, [key_id])
        row = cursor.fetchone()
    now = datetime.now(UTC)
    # An unknown id is compared as well, so that both cases take the same time.
    stored = bytes(row[0]) if row else bytes(32)
    matches = hmac.compare_digest(stored, hashlib.sha256(secret.encode()).digest())
    if row is None or not matches:
        raise SignInRequired(detail="The session token is unknown or was revoked.")
    (
        _,
        expires_at,
        last_used,
        lifetime,
        scope,
        user_id,
        username,
        email,
        roles,
        organizations,
        org_roles,
        groups,
    ) = row
    if expires_at <= now:
        raise SignInRequired(detail="The session has expired.")
    if last_used is None or now - last_used > TOUCH_INTERVAL:
        touch(key_id, user_id, expires_at, lifetime, now, client)
    return Actor(
        id=user_id,
        username=username,
        email=email,
        site_roles=frozenset(roles),
        organization_roles={
            organization: frozenset(names.split(",")) if names else frozenset()
            for organization, names in zip(organizations, org_roles, strict=True)
        },
        group_ids=frozenset(groups) | frozenset(organizations),
        scope=scope,
        key_id=key_id,
        client=client,
    )


def touch(key_id: str, user_id: uuid.UUID, expires_at: datetime, lifetime: int, now: datetime, client: Client) -> None:
    """Note the use of a key, at most hourly, and slide its expiry."""
    slid = max(expires_at, now + timedelta(seconds=lifetime))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE identity_apikey SET last_used = %s, updated_at = %s, ip_address = %s, expires_at = %s"
            " WHERE id = %s",
            [now, now, client.ip, slid, key_id],
        )
        cursor.execute("UPDATE identity_user SET last_seen_at = %s WHERE id = %s", [now, user_id])


def key_of(actor: Actor) -> ApiKey | None:
    """The key row behind an actor, when there still is one."""
    return ApiKey.objects.filter(pk=actor.key_id).first()
