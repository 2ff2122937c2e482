"""Finding people for pages: those that an address names, and those that somebody types."""

import uuid

from django.contrib.auth.password_validation import password_validators_help_texts
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.api.identifiers import parse_uuid
from coderproj.console.views import SignedInPage
from coderproj.errors import NotFound
from coderproj.identity.actor import Actor
from coderproj.identity.models import User, UserStatus
from coderproj.identity.models.users import UserQuerySet
from coderproj.identity.users import visible_users

SUGGESTIONS = 8


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


def password_rules() -> str:
    """What a new password has to be, in sentences."""
    return " ".join(password_validators_help_texts())


class SuggestPeople(SignedInPage):
    """Usernames that begin with what is being typed, for a list of suggestions; ``organization`` narrows them to its
    members."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        start = request.GET.get("username", "").strip()
        users = active_users(self.actor).filter(username__istartswith=start)
        if "organization" in request.GET:
            users = users.filter(memberships__organization=parse_uuid(request.GET["organization"]))
        names = users.order_by("username").values_list("username", flat=True)[:SUGGESTIONS] if start else []
        return self.show("identity/_names.html", {"names": names})
