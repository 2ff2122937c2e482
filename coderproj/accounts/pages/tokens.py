"""API tokens: the actor's own, and for owners those of other users. A token is shown once, after it is created."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from coderproj.accounts.pages.addresses import user_url
from coderproj.accounts.pages.people import find_visible_user
from coderproj.base.errors import DomainError, NotFound
from coderproj.console import cells
from coderproj.console.forms import ConsoleForm
from coderproj.console.lists import Column, Listing, Table
from coderproj.console.questions import Question
from coderproj.console.templatetags.console import age, ago, icon, status, until
from coderproj.console.views import SignedInPage
from coderproj.identity import services
from coderproj.identity.actor import Actor
from coderproj.identity.models import ApiKey, KeyScope, LoginType, User
from coderproj.identity.rbac import Action, Resource, allowed

DAY = 86_400
LIFETIMES = (7, 30, 90, 365)
DEFAULT_DAYS = 30
SCOPES = {
    KeyScope.ALL.value: "All permissions of its owner",
    KeyScope.APPLICATION_CONNECT.value: "Connect to applications only",
}


class TokenForm(ConsoleForm):
    name = forms.CharField(
        label="Name",
        max_length=64,
        help_text="The machine or program that will use it, such as a laptop or a pipeline.",
    )
    lifetime = forms.TypedChoiceField(
        label="Expires after", coerce=int, help_text="Replace it with a new token before then."
    )
    scope = forms.ChoiceField(label="Scope", choices=list(SCOPES.items()))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        longest = settings.TOKEN_MAX_LIFETIME_SECONDS
        days = [days for days in LIFETIMES if days * DAY <= longest]
        choices = [(days * DAY, f"{days} days") for days in days] or [(longest, f"{longest // 3600} hours")]
        self.fields["lifetime"].choices = choices  # type: ignore[attr-defined]
        self.fields["lifetime"].initial = DEFAULT_DAYS * DAY if DEFAULT_DAYS in days else choices[-1][0]
        self.fields["name"].widget.attrs.update(autocomplete="off")


SOON = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token in a list. ``revocation`` is None where it is not offered."""

    key: ApiKey
    revocation: Question | None


def _token_entity(row: TokenRow) -> SafeString:
    name = row.key.name or "Unnamed"
    id_ = format_html('<small class="mono">{}</small>', row.key.pk)
    inner = format_html("{}<span><strong>{}</strong>{}</span>", cells.icon_tile("key-round"), name, id_)
    return format_html('<span class="entity">{}</span>', inner)


def _end(row: TokenRow) -> SafeString | str:
    end, now = row.key.expires_at, timezone.now()
    if end <= now:
        return status("expired", chip=True)
    if end <= now + SOON:
        return format_html('<span class="status is-pending chip">{}{}</span>', icon("clock"), until(end))
    return until(end)


def _revocation_button(row: TokenRow) -> SafeString | str:
    if row.revocation is None:
        return ""
    name = row.key.name or row.key.pk
    return cells.dialog_button(row.revocation, format_html('Revoke<span class="visually-hidden"> {}</span>', name))


TOKEN_LIST = Listing[TokenRow](
    Column("Token", _token_entity, classes="wide", phone_label=""),
    Column("Scope", lambda row: SCOPES.get(row.key.scope, row.key.scope), classes="full muted"),
    Column("Last used", lambda row: cells.ago_or_never(row.key.last_used), classes="number"),
    Column("Expires", _end, classes="number"),
    Column("Created", lambda row: ago(row.key.created_at), classes="number muted"),
    Column("Revoke", _revocation_button, classes="right", hide_heading=True),
)


def token_table(actor: Actor, keys: Iterable[ApiKey], *, back_url: str) -> Table[TokenRow]:
    """Return the list of one user's tokens."""
    return TOKEN_LIST.table(
        [TokenRow(key, revocation_of(key, back_url) if may_revoke(actor, key) else None) for key in keys]
    )


def may_see_tokens(actor: Actor, user: User) -> bool:
    return allowed(actor, Action.READ, Resource.API_KEY, owner_id=user.pk)


def may_create_tokens(actor: Actor, user: User) -> bool:
    return user.is_active and allowed(actor, Action.CREATE, Resource.API_KEY, owner_id=user.pk)


def may_revoke(actor: Actor, key: ApiKey) -> bool:
    return allowed(actor, Action.DELETE, Resource.API_KEY, owner_id=key.user_id)


def revocation_of(key: ApiKey, back_url: str) -> Question:
    """Return the question before a token is revoked."""
    used = f"It was last used {age(key.last_used)}." if key.last_used else "It was never used."
    return Question(
        key=f"revoke-{key.pk}",
        url=reverse("revoke-token", args=[key.pk]),
        action="Revoke",
        title=f"Revoke {key.name or key.pk}?",
        consequences=(
            "Programs that use it are rejected from their next request on. A revoked token cannot be restored.",
            used,
        ),
        button=f"Revoke {key.name or key.pk}",
        back_url=back_url,
        back_label="Keep it",
        danger=True,
    )


class Tokens(SignedInPage):
    """The actor's own API tokens."""

    section = "tokens"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        user = find_visible_user(self.actor, self.actor.id)
        found = services.list_tokens(self.actor, user)
        tokens = token_table(self.actor, reversed(found), back_url=request.path)
        return self.show("accounts/tokens.html", {"tokens": tokens, "may_create": True})


class NewToken(SignedInPage):
    """Creates a token for the actor, or as an owner for any user."""

    section = "tokens"
    user: User

    def prepare(self, user: uuid.UUID | None = None) -> None:  # type: ignore[override]
        self.user = find_visible_user(self.actor, user or self.actor.id)
        if not may_see_tokens(self.actor, self.user):
            raise NotFound

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        return self._page(TokenForm())

    def post(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        form = TokenForm(request.POST)
        if not form.is_valid():
            return self._page(form)
        given = form.cleaned_data
        try:
            token = services.create_token(
                self.actor,
                user=self.user,
                lifetime_seconds=services.token_lifetime(given["lifetime"], field="lifetime"),
                scope=KeyScope(given["scope"]),
                name=given["name"],
            )
        except DomainError as error:
            _show_token_error(error, form)
            return self._page(form, status=error.status_code)
        response = self._page(form, token=token)
        response["Cache-Control"] = "no-store"
        return response

    def _page(self, form: TokenForm, *, token: str = "", status: int = 200) -> HttpResponseBase:
        own = self.user.pk == self.actor.id
        back = reverse("tokens") if own else user_url(self.user)
        above = [("API tokens", back)] if own else [("Users", reverse("users")), (self.user.username, back)]
        context = {
            "form": form,
            "token": token,
            "url": settings.ACCESS_URL,
            "owner": self.user,
            "own": own,
            "back_url": back,
            "section": "tokens" if own else "users",
            "trail": [*above, ("New token", "")],
        }
        return self.show("accounts/new_token.html", context, status=status)


def _show_token_error(error: DomainError, form: TokenForm) -> None:
    """Show the error; the API's ``token_name`` is the form's ``name``."""
    if any(problem.field == "token_name" for problem in error.problems):
        form.add_error("name", "A token with this name exists.")
    else:
        form.show_error(error)


class RevokeToken(SignedInPage):
    """Asks for confirmation, and revokes a token."""

    section = "tokens"
    key: ApiKey

    def prepare(self, token: str) -> None:  # type: ignore[override]
        key = ApiKey.objects.filter(pk=token, login_type=LoginType.TOKEN).select_related("user").first()
        if key is None or not may_see_tokens(self.actor, key.user):
            raise NotFound
        self.key = key
        self.back_url = reverse("tokens") if key.user_id == self.actor.id else user_url(key.user)

    def get(self, request: HttpRequest, token: str) -> HttpResponseBase:
        trail = [("API tokens", self.back_url), ("Revoke", "")]
        return self.show("console/question.html", {"question": revocation_of(self.key, self.back_url), "trail": trail})

    def post(self, request: HttpRequest, token: str) -> HttpResponseBase:
        services.revoke_key(self.actor, self.key)
        return self.go(self.back_url, f"{self.key.name or self.key.pk} is revoked.")
