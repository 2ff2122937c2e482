"""The actor's own account: profile, password, a token for the command line."""

from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.accounts.pages.people import PASSWORD_RULES
from coderproj.accounts.views.keys import SESSION_KEY_SECONDS
from coderproj.base.errors import DomainError, TooManyRequests
from coderproj.console import session
from coderproj.console.forms import ConsoleForm
from coderproj.console.views import SignedInPage
from coderproj.identity import services, users
from coderproj.identity.authentication import client_of
from coderproj.identity.limits import password_attempt_allowed
from coderproj.identity.models import LoginType, User
from coderproj.identity.rbac import ROLES


class PasswordForm(ConsoleForm):
    old_password = forms.CharField(
        label="Current password",
        max_length=1024,
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password"}),
    )
    password = forms.CharField(
        label="New password",
        max_length=64,
        strip=False,
        help_text=PASSWORD_RULES,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )


class Account(SignedInPage):
    """Shows the profile and changes the password, which ends every session and token."""

    section = "account"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self._page(PasswordForm())

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = PasswordForm(request.POST)
        if not form.is_valid():
            return self._page(form)
        given = form.cleaned_data
        user = self._user()
        try:
            # A stolen session must not allow guessing the password.
            if not password_attempt_allowed(request, self.actor.id):
                raise TooManyRequests("Too many attempts: wait a minute.")
            users.change_password(self.actor, user, **given)
        except DomainError as error:
            form.show_error(error)
            return self._page(form, status=error.status_code)
        token = services.start_session(user, client_of(request))
        response = self.go(request.path, "The password was changed. Every other session and token has ended.")
        session.start(request, response, token)
        return response

    def _user(self) -> User:
        return users.find_user(self.actor, users.ME)

    def _page(self, form: PasswordForm, status: int = 200) -> HttpResponseBase:
        context: dict[str, Any] = {
            "form": form,
            "user": self._user(),
            "roles": [ROLES[name].display_name for name in sorted(self.actor.site_roles) if name in ROLES],
        }
        return self.show("accounts/account.html", context, status=status)


class CommandLineToken(SignedInPage):
    """A session token for a command line, shown once. Creating it takes a click, so that no other page can do it."""

    section = "account"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.show("accounts/cli_auth.html", {})

    def post(self, request: HttpRequest) -> HttpResponseBase:
        token = services.create_token(
            self.actor,
            user=users.find_user(self.actor, users.ME),
            lifetime_seconds=SESSION_KEY_SECONDS,
            login_type=LoginType.PASSWORD,
        )
        days = SESSION_KEY_SECONDS // 86_400
        response = self.show("accounts/cli_auth.html", {"token": token, "url": settings.ACCESS_URL, "days": days})
        response["Cache-Control"] = "no-store"
        return response
