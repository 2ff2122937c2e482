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
    """A page: ``get`` shows it, ``post`` processes its form.

    A DomainError that leaves the view becomes an error page; objects that are not visible give 404. Views with forms
    catch the errors that the user can correct.
    """

    # The key of the navigation's entry that is marked as current.
    section: ClassVar[str] = ""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        given = (*map(str, kwargs.values()), *request.GET.values(), *request.POST.values())
        if any("\0" in value for value in given if isinstance(value, str)):  # PostgreSQL cannot store it
            return error_page(request, NotFound())
        try:
            self.prepare(**kwargs)
            return super().dispatch(request, *args, **kwargs)
        except DomainError as error:
            return error_page(request, error)

    def prepare(self, **route: str) -> None:
        """Find the objects that the address names, before ``get`` or ``post``. Raises DomainError."""

    @property
    def wants_part(self) -> bool:
        """True if htmx requests a part of the page. To restore a page of the history, it requests all of it."""
        htmx: Any = self.request.htmx  # type: ignore[attr-defined]
        return bool(htmx) and not htmx.boosted and not htmx.history_restore_request

    def show(self, template: str, context: dict[str, Any], *, part: str = "", status: int = 200) -> HttpResponse:
        """Return the rendered template. When htmx requests a part of the page, render ``part`` instead, with
        ``is_part`` true in its context."""
        is_part = bool(part) and self.wants_part
        context = {"section": self.section, "is_part": is_part, **context}
        response = render(self.request, part if is_part else template, context, status=status)
        response["Cache-Control"] = "private, no-cache"
        if is_part and _is_shown_already(self.request):
            response["HX-Push-Url"] = "false"  # else Back would lead to the same page
        patch_vary_headers(response, ("HX-Request", "HX-History-Restore-Request", "Cookie"))
        return response

    def show_all(self, fragment: str = "") -> HttpResponse:
        """Have htmx, which requested a part, load the whole page at the element with that id: errors of filters are
        shown beside their fields, which the part does not include."""
        response = HttpResponse(status=204)
        response["HX-Redirect"] = self.request.get_full_path() + (f"#{fragment}" if fragment else "")
        return response

    def warn(self, message: str) -> None:
        """Show an error on the next page."""
        messages.error(self.request, message)

    def go(self, url: str, message: str = "") -> HttpResponseRedirect:
        """Redirect, with a message for the next page."""
        if message:
            messages.success(self.request, message)
        response = redirect(url)
        assert isinstance(response, HttpResponseRedirect)
        return response


class PublicPage(Page):
    """A page without sign-in. The docstring of the view gives the reason."""


class SignedInPage(Page):
    """A page for signed-in users. Other callers are redirected to sign in, and back."""

    actor: Actor

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        actor = actor_of(request)
        if actor is None:
            return to_sign_in(request)
        self.actor = actor
        return super().dispatch(request, *args, **kwargs)


def to_sign_in(request: HttpRequest) -> HttpResponseBase:
    """Redirect to the sign-in page, and back afterwards. A request of htmx gets the address in a header: htmx would
    insert a page as a part."""
    htmx: Any = getattr(request, "htmx", None)
    return_path = request.get_full_path() if request.method in {"GET", "HEAD"} else ""
    if htmx:
        return_path = _own_path(request, htmx.current_url)
    url = reverse("sign-in")
    if return_path and return_path != "/":
        url = f"{url}?{urlencode({'next': return_path})}"
    if htmx:
        response = HttpResponse(status=204)
        response["HX-Redirect"] = url
        return response
    return redirect(url)


def _is_shown_already(request: HttpRequest) -> bool:
    """Return True if htmx requests the browser's current address, which it would add to the history again. Parameters
    without a value are ignored."""
    current = _own_path(request, request.htmx.current_url)  # type: ignore[attr-defined]
    shown, asked = urlsplit(current), urlsplit(request.get_full_path())
    return shown.path == asked.path and sorted(parse_qsl(shown.query)) == sorted(parse_qsl(asked.query))


def _own_path(request: HttpRequest, url: str | None) -> str:
    """Path and query of an address of this site; empty for any other."""
    own = url_has_allowed_host_and_scheme(url, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return urlsplit(url)._replace(scheme="", netloc="", fragment="").geturl() if url and own else ""


def next_url(request: HttpRequest, default: str) -> str:
    """Return the address in ``next`` if it is on this site, else the default."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    own = url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return wanted if own else default
