"""The signed-in user, for Django's own pages."""

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from coderproj.console.session import user_of
from coderproj.web.middleware import PagesOnly


class PageAuthenticationMiddleware(PagesOnly, AuthenticationMiddleware):
    """Set ``request.user`` to the user of the session token. The lookup waits until the admin needs the user."""

    def process_request(self, request: HttpRequest) -> None:
        request.user = SimpleLazyObject(lambda: user_of(request))  # type: ignore[assignment]
