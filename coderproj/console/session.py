"""The session of pages. It is the API's: one token in one cookie, which ends for both at the same time."""

from typing import cast

from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.csrf import rotate_token

from coderproj.api.authentication import set_session_cookie
from coderproj.base.errors import SignInRequired
from coderproj.identity.actor import Actor
from coderproj.identity.authentication import SESSION_COOKIE, actor_for_token, client_of
from coderproj.identity.models import KeyScope, User

# The attribute of a request that caches its actor.
ACTOR = "_console_actor"


def actor_of(request: HttpRequest) -> Actor | None:
    """Return the actor of a request, with one query. None without a session, and for a token of narrow scope."""
    if not hasattr(request, ACTOR):
        setattr(request, ACTOR, _actor(request))
    return cast("Actor | None", getattr(request, ACTOR))


def _actor(request: HttpRequest) -> Actor | None:
    token = request.COOKIES.get(SESSION_COOKIE, "")
    if not token:
        return None
    try:
        actor = actor_for_token(token, client_of(request))
    except SignInRequired:
        return None
    return actor if actor.scope == KeyScope.ALL else None


def user_of(request: HttpRequest) -> User | AnonymousUser:
    """Return the signed-in user's row, for the admin. A session of Django counts as well (``force_login`` of the test
    client); signing in never creates one."""
    user = get_user(request)
    actor = actor_of(request) if user.is_anonymous else None
    if actor is None:
        return user
    return User.objects.existing().filter(pk=actor.id).first() or AnonymousUser()


def start(request: HttpRequest, response: HttpResponseBase, token: str) -> None:
    """Set the cookie of a new session. Forms rendered before become invalid."""
    set_session_cookie(request, response, token)
    rotate_token(request)


def end(request: HttpRequest, response: HttpResponseBase) -> None:
    """Delete the cookie of the session."""
    request.session.flush()
    response.delete_cookie(SESSION_COOKIE, path="/", samesite="Lax")
    rotate_token(request)
