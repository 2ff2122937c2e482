"""Finding people for pages: those that an address names, and those that somebody types."""

import uuid
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
# What a new password has to be.
HARD_TO_GUESS = f"At least {settings.PASSWORD_LENGTH} characters, none of the common ones."


def find_visible_user(actor: Actor, user_id: uuid.UUID) -> User:
    """The user whose page it is. Raises NotFound."""
    user = visible_users(actor).filter(pk=user_id).first()
    if user is None:
        raise NotFound
    return user


def active_users(actor: Actor) -> UserQuerySet:
    """Users that the actor may see and who may sign in."""
    return visible_users(actor).filter(status=UserStatus.ACTIVE)


def typed_user(actor: Actor, text: str) -> User | None:
    """The active user of that username or address, if the actor knows one."""
    users = active_users(actor)
    name = text.strip()
    return users.filter(username__iexact=name).first() or users.filter(email__iexact=name).first()


def user_entity(user: User, *, with_email: bool = False) -> SafeString:
    """A user in a list, leading to their page. A user without a full name has the email below instead, if wanted."""
    note = user.name or (user.email if with_email else "")
    return cells.entity(cells.avatar(user.username), user.username, note, url=user_url(user))


class MemberForm(ConsoleForm):
    """Who is to be a member; the cleaned value is the user. Members of ``organization``, or everybody whom the actor
    knows, are suggested as one types."""

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
        user = typed_user(self.actor, self.cleaned_data["username"])
        if user is None:
            raise forms.ValidationError("You know nobody of that name or address.")
        return user


class SuggestPeople(SignedInPage):
    """Usernames that begin with what is being typed, for a list of suggestions; ``organization`` narrows them to its
    members."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        start = request.GET.get("username", "").strip()
        users = active_users(self.actor).filter(username__istartswith=start)
        if "organization" in request.GET:
            users = users.filter(memberships__organization=parse_uuid(request.GET["organization"]))
        names = users.order_by("username").values_list("username", flat=True)[:SUGGESTIONS] if start else []
        return self.show("accounts/_names.html", {"names": names})
