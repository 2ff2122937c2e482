"""The base of every page."""

from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.generic import View

from coderproj.base.errors import DomainError, NotFound
from coderproj.console.errors import error_page
from coderproj.console.session import actor_of
from coderproj.identity.actor import Actor


class Page(View):
    """A page: ``get`` shows it, ``post`` does what its form says.

    A DomainError that leaves the view becomes an error page: what one may not see answers 404. Forms that can be
    corrected catch their errors themselves.
    """

    # The key of the navigation's entry that is marked as current.
    section: ClassVar[str] = ""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        given = (*map(str, kwargs.values()), *request.GET.values(), *request.POST.values())
        if any("\0" in value for value in given if isinstance(value, str)):  # PostgreSQL has no such text
            return error_page(request, NotFound())
        try:
            self.prepare(**kwargs)
            return super().dispatch(request, *args, **kwargs)
        except DomainError as error:
            return error_page(request, error)

    def prepare(self, **route: str) -> None:
        """Find what the address names, before anything is done with it. Raises DomainError."""

    @property
    def wants_part(self) -> bool:
        """Whether htmx asks for a part of the page. When it restores a page of the history it asks for all of it."""
        htmx: Any = self.request.htmx  # type: ignore[attr-defined]
        return bool(htmx) and not htmx.boosted and not htmx.history_restore_request

    def show(self, template: str, context: dict[str, Any], *, part: str = "", status: int = 200) -> HttpResponse:
        """The template as an answer. When htmx asks for a part of the page, ``part`` is the template of that part, and
        ``is_part`` is true in it."""
        is_part = bool(part) and self.wants_part
        context = {"section": self.section, "is_part": is_part, **context}
        response = render(self.request, part if is_part else template, context, status=status)
        response["Cache-Control"] = "private, no-cache"
        if is_part and _is_shown_already(self.request):
            response["HX-Push-Url"] = "false"  # else Back would lead to where one is
        patch_vary_headers(response, ("HX-Request", "HX-History-Restore-Request", "Cookie"))
        return response

    def show_all(self, fragment: str = "") -> HttpResponse:
        """Have htmx, which asked for a part, open the page itself, at the element with that id: what is wrong with the
        fields of a filter is told beside them, and a part leaves them as they are."""
        response = HttpResponse(status=204)
        response["HX-Redirect"] = self.request.get_full_path() + (f"#{fragment}" if fragment else "")
        return response

    def go(self, url: str, message: str = "") -> HttpResponseRedirect:
        """Send the browser on, with a message to read there."""
        if message:
            messages.success(self.request, message)
        response = redirect(url)
        assert isinstance(response, HttpResponseRedirect)
        return response


class PublicPage(Page):
    """A page for everybody. Say why in the view's docstring."""


class SignedInPage(Page):
    """A page for people who are signed in; others are sent to sign in and come back."""

    actor: Actor

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        actor = actor_of(request)
        if actor is None:
            return to_sign_in(request)
        self.actor = actor
        return super().dispatch(request, *args, **kwargs)


def to_sign_in(request: HttpRequest) -> HttpResponseBase:
    """Send the browser to sign in, and back to its page afterwards. A part of a page cannot be answered with another
    page: htmx is told to go."""
    htmx: Any = getattr(request, "htmx", None)
    came_for = request.get_full_path() if request.method in {"GET", "HEAD"} else ""
    if htmx:
        came_for = _own_path(request, htmx.current_url)
    url = reverse("sign-in")
    if came_for and came_for != "/":
        url = f"{url}?{urlencode({'next': came_for})}"
    if htmx:
        response = HttpResponse(status=204)
        response["HX-Redirect"] = url
        return response
    return redirect(url)


def _is_shown_already(request: HttpRequest) -> bool:
    """Whether the browser's address is what htmx asks for, which it would put into the history once more. Parameters
    without a value do not count."""
    came_from = _own_path(request, request.htmx.current_url)  # type: ignore[attr-defined]
    shown, asked = urlsplit(came_from), urlsplit(request.get_full_path())
    return shown.path == asked.path and sorted(parse_qsl(shown.query)) == sorted(parse_qsl(asked.query))


def _own_path(request: HttpRequest, url: str | None) -> str:
    """Path and query of an address of this site; empty for any other."""
    own = url_has_allowed_host_and_scheme(url, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return urlsplit(url)._replace(scheme="", netloc="", fragment="").geturl() if url and own else ""


def next_url(request: HttpRequest, default: str) -> str:
    """Where ``next`` wants to go, when that is on this site."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    own = url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return wanted if own else default
