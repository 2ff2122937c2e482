"""Who looks at a page. Pages use the session of the API: one token in one cookie, which ends for both at once."""

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

# Where a request keeps its actor once it was looked up.
ACTOR = "_console_actor"


def actor_of(request: HttpRequest) -> Actor | None:
    """Who is signed in, by one query for each request; None for nobody, and for a token of narrow scope."""
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
    """The user row of who is signed in, for the admin. A session of Django's own counts as well (its test client's
    ``force_login``); signing in does not make any."""
    user = get_user(request)
    actor = actor_of(request) if user.is_anonymous else None
    if actor is None:
        return user
    return User.objects.existing().filter(pk=actor.id).first() or AnonymousUser()


def start(request: HttpRequest, response: HttpResponseBase, token: str) -> None:
    """Let the browser carry a new session. Forms that were shown before count no more."""
    set_session_cookie(request, response, token)
    rotate_token(request)


def end(request: HttpRequest, response: HttpResponseBase) -> None:
    """Take the session from the browser."""
    request.session.flush()
    response.delete_cookie(SESSION_COOKIE, path="/", samesite="Lax")
    rotate_token(request)
