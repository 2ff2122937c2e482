"""The start page."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from coderproj.base.contributions import contributions
from coderproj.console.session import actor_of
from coderproj.console.views import PublicPage
from coderproj.identity.services import first_user_exists


class Home(PublicPage):
    """Redirects to the page where the user starts, to signing in, or to the setup. Public: it shows nothing itself.

    Apps contribute start pages as ``home_pages``. Users for whom no app has one start at the templates.
    """

    def get(self, request: HttpRequest) -> HttpResponseBase:
        actor = actor_of(request)
        if actor is not None:
            addresses = (address_of(actor) for address_of in contributions("home_pages"))
            return redirect(next(filter(None, addresses), "templates"))
        return redirect("sign-in" if first_user_exists() else "set-up")
