"""Users as callers of the web server."""

from collections.abc import Hashable

from django.conf import settings
from django.http.cookie import parse_cookie

from coderproj.base.errors import SignInRequired
from coderproj.identity.actor import Client
from coderproj.identity.authentication import actor_cache, actor_for_token, token_in
from coderproj.web import addresses
from coderproj.web.callers import Environ, allowance_of_user


class TokenCallers:
    """Recognizes users by their session tokens, in the API's headers and in cookies."""

    def key(self, environ: Environ) -> Hashable | None:
        """Return the user's id if an earlier request has proven the token. Another token could be made up."""
        token = _token(environ)
        entry = actor_cache.get(token) if token else None
        return entry.actor.id if entry is not None else None

    def allowance(self, environ: Environ) -> int:
        """Return the bytes of body that the user may send, 0 without a valid token."""
        token = _token(environ)
        if not token:
            return 0
        address = addresses.caller(
            environ["REMOTE_ADDR"], environ.get("HTTP_X_FORWARDED_FOR", ""), settings.TRUSTED_PROXIES
        )
        client = Client(ip=address, user_agent=environ.get("HTTP_USER_AGENT", "")[:256], request_id=None)
        try:
            actor = actor_for_token(token, client)
        except SignInRequired:
            return 0
        return allowance_of_user(environ, actor)


def _token(environ: Environ) -> str:
    return token_in(parse_cookie(environ.get("HTTP_COOKIE", "")), environ)[0]


SOURCES = [TokenCallers()]
