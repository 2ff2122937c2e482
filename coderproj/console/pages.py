"""The start page."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from coderproj.console.session import actor_of
from coderproj.console.views import PublicPage
from coderproj.identity.services import first_user_exists


class Home(PublicPage):
    """Redirects to the templates, to signing in, or to the setup. Public: it shows nothing itself."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        if actor_of(request):
            return redirect("templates")
        return redirect("sign-in" if first_user_exists() else "set-up")
