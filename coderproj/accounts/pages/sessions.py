"""Setting up, signing in and out."""

from django import forms
from django.contrib.messages import get_messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse

from coderproj.accounts.pages.people import PASSWORD_RULES
from coderproj.base.errors import DomainError, Forbidden, TooManyRequests
from coderproj.base.identifiers import parse_uuid
from coderproj.console import session
from coderproj.console.forms import ConsoleForm
from coderproj.console.views import PublicPage, SignedInPage, next_url
from coderproj.identity import services, users
from coderproj.identity.authentication import client_of
from coderproj.identity.limits import WINDOW_SECONDS, password_attempt_allowed

HOME = "/"


class SignInForm(ConsoleForm):
    email = forms.EmailField(
        label="Email", max_length=254, widget=forms.EmailInput({"autocomplete": "username", "autofocus": True})
    )
    password = forms.CharField(
        label="Password",
        max_length=1024,
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password"}),
    )


class SetUpForm(ConsoleForm):
    username = forms.RegexField(
        rf"\A{users.USERNAME_PATTERN.pattern}\Z",
        label="Username",
        max_length=32,
        help_text="Letters, digits and single dashes between them.",
        error_messages={"invalid": "This is not a valid username."},
    )
    email = forms.EmailField(label="Email", max_length=254)
    password = forms.CharField(
        label="Password",
        max_length=64,
        strip=False,
        help_text=PASSWORD_RULES,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )

    def clean_username(self) -> str:
        username: str = self.cleaned_data["username"]
        if username.lower() in users.RESERVED_USERNAMES or parse_uuid(username):
            raise forms.ValidationError("This username is reserved.")
        return username


class SignIn(PublicPage):
    """The sign-in page. Public, because the caller has no session yet."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        if session.actor_of(request):
            return redirect(next_url(request, HOME))
        if not services.first_user_exists():
            return redirect("set-up")
        return self._form(request, SignInForm())

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = SignInForm(request.POST)
        if not form.is_valid():
            return self._form(request, form)
        try:
            if not password_attempt_allowed(request):
                raise TooManyRequests("Too many attempts from your address: wait a minute.")
            _, token = services.log_in(**form.cleaned_data, client=client_of(request))
        except DomainError as error:
            form.show_error(error)
            response = self._form(request, form, status=error.status_code)
            if error.status_code == 429:
                response["Retry-After"] = str(WINDOW_SECONDS)
            return response
        response = redirect(next_url(request, HOME))
        session.start(request, response, token)
        return response

    def _form(self, request: HttpRequest, form: SignInForm, status: int = 200) -> HttpResponseBase:
        context = {"form": form, "next": next_url(request, "")}
        return self.show("accounts/sign_in.html", context, status=status)


class SignOut(SignedInPage):
    """Ends the session, for pages and the API."""

    def post(self, request: HttpRequest) -> HttpResponseBase:
        services.log_out(self.actor)
        list(get_messages(request))  # messages for this user must not be shown to the next one
        response = redirect("sign-in")
        session.end(request, response)
        return response


class SetUp(PublicPage):
    """Creates the first user of a deployment. Public, because no account exists yet."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        if services.first_user_exists():
            return redirect("sign-in")
        return self.show("accounts/set_up.html", {"form": SetUpForm()})

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = SetUpForm(request.POST)
        if not form.is_valid():
            return self.show("accounts/set_up.html", {"form": form})
        client = client_of(request)
        given = form.cleaned_data
        try:
            services.create_first_user(**given, client=client)
            _, token = services.log_in(email=given["email"], password=given["password"], client=client)
        except services.AlreadySetUp:
            return redirect("sign-in")
        except DomainError as error:
            form.show_error(error)
            return self.show("accounts/set_up.html", {"form": form}, status=error.status_code)
        response = self.go(HOME, "Welcome! Start with your own template or with a starter.")
        session.start(request, response, token)
        return response


class AdminSignIn(PublicPage):
    """The admin's sign-in page. Public: it redirects callers without a session, and returns 403 to users without a role
    for the admin."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        if session.actor_of(request) is None:
            return redirect(f"{reverse('sign-in')}?{request.GET.urlencode()}")
        raise Forbidden("Only owners and auditors can use the admin.")
