"""Users on pages: lookup by address and by typed text, and cells of lists."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.safestring import SafeString

from coderproj.accounts.pages.addresses import user_url
from coderproj.base.errors import NotFound
from coderproj.base.identifiers import parse_uuid
from coderproj.console import cells
from coderproj.console.addresses import page_url
from coderproj.console.forms import ConsoleForm
from coderproj.console.views import SignedInPage
from coderproj.identity.actor import Actor
from coderproj.identity.models import User, UserStatus
from coderproj.identity.models.users import UserQuerySet
from coderproj.identity.users import visible_users

SUGGESTIONS = 8
# The rules of a new password.
PASSWORD_RULES = f"At least {settings.PASSWORD_LENGTH} characters, and not a common password."


@dataclass(frozen=True, slots=True)
class Panel:
    """A card that another app adds to a user's page: its template, which gets this object as ``panel``."""

    template: str
    context: Mapping[str, Any]


def find_visible_user(actor: Actor, user_id: uuid.UUID) -> User:
    """Return the visible user with this ID. Raises NotFound."""
    user = visible_users(actor).filter(pk=user_id).first()
    if user is None:
        raise NotFound
    return user


def active_users(actor: Actor) -> UserQuerySet:
    """Return the active users that are visible to the actor."""
    return visible_users(actor).filter(status=UserStatus.ACTIVE)


def find_typed_user(actor: Actor, text: str) -> User | None:
    """Return the visible active user with this username or email address, or None."""
    users = active_users(actor)
    name = text.strip()
    return users.filter(username__iexact=name).first() or users.filter(email__iexact=name).first()


def user_entity(user: User, *, with_email: bool = False) -> SafeString:
    """Return the cell of a user: linked to the user's page, with the full name below, or the email address if
    requested."""
    note = user.name or (user.email if with_email else "")
    return cells.entity(cells.avatar(user.username), user.username, note, url=user_url(user))


class MemberForm(ConsoleForm):
    """Selects a user; the cleaned value is the ``User``. While typing, members of ``organization``, or all users
    visible to the actor, are suggested."""

    username = forms.CharField(
        max_length=254,
        widget=forms.TextInput(
            {
                "placeholder": "Username or email",
                "autocomplete": "off",
                "spellcheck": "false",
                "list": "people",
                "hx-trigger": "input changed delay:200ms",
                "hx-target": "#people",
                "hx-sync": "this:replace",
            }
        ),
    )

    def __init__(self, actor: Actor, *args: Any, organization: uuid.UUID | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.actor = actor
        narrowed = f"?organization={organization}" if organization else ""
        self.fields["username"].widget.attrs["hx-get"] = f"{page_url('people')}{narrowed}"

    def clean_username(self) -> User:
        user = find_typed_user(self.actor, self.cleaned_data["username"])
        if user is None:
            raise forms.ValidationError("No such user.")
        return user


class SuggestPeople(SignedInPage):
    """Suggests usernames that begin with the typed text; ``organization`` limits them to its members."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        start = request.GET.get("username", "").strip()
        users = active_users(self.actor).filter(username__istartswith=start)
        if "organization" in request.GET:
            users = users.filter(memberships__organization=parse_uuid(request.GET["organization"]))
        names = users.order_by("username").values_list("username", flat=True)[:SUGGESTIONS] if start else []
        return self.show("accounts/_names.html", {"names": names})
