"""The list of users, and creating a user."""

from operator import attrgetter
from typing import Any

from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.safestring import SafeString

from coderproj.accounts.pages.addresses import user_url
from coderproj.accounts.pages.people import PASSWORD_RULES, user_entity
from coderproj.accounts.pages.user_forms import username_field
from coderproj.accounts.serializers.users import PASSWORD_LENGTH
from coderproj.base.errors import DomainError, Forbidden, Invalid
from coderproj.console import cells
from coderproj.console.forms import ConsoleForm
from coderproj.console.lists import Column, Listing
from coderproj.console.paging import slice_of
from coderproj.console.templatetags.console import ago, status
from coderproj.console.views import SignedInPage
from coderproj.identity import users
from coderproj.identity.actor import Actor
from coderproj.identity.filters import search_users
from coderproj.identity.models import Organization, User, UserLogin
from coderproj.identity.models.users import UserQuerySet
from coderproj.identity.organizations import visible_organizations
from coderproj.identity.rbac import ROLES, Action, Resource, allowed, allowed_everywhere

PAGE_SIZE = 30
USERS = ("Users", "/users")
SHOWN = {"": "All", "active": "Active", "suspended": "Suspended"}


class UsersPage(SignedInPage):
    """The visible users, with search and filter in the address."""

    section = "users"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        query = request.GET.get("q", "").strip()
        status = request.GET.get("status", "")
        status = status if status in SHOWN else ""
        found, problem = User.objects.get_queryset().none(), ""
        try:
            found = self._users(query, status)
        except Invalid as error:
            problem = " ".join(entry.detail for entry in error.problems)
        page = slice_of(request, found, PAGE_SIZE)
        context: dict[str, Any] = {
            "users": USER_LIST.table(page.rows),
            "slice": page,
            "q": query,
            "status": status,
            "tabs": SHOWN.items(),
            "problem": problem,
            "may_create": may_create_users(self.actor),
        }
        return self.show("accounts/users.html", context, part="accounts/_users.html")

    def _users(self, query: str, status: str) -> UserQuerySet:
        given = {"q": query} | ({"status": status} if status else {})
        return USER_LIST.fetch(search_users(self.actor, given)).order_by("username", "id")


def role_names(user: User) -> list[str]:
    """Return the display names of a user's site roles."""
    return [ROLES[role].display_name for role in user.site_roles if role in ROLES]


def role_tags(user: User) -> SafeString:
    return cells.tags(role_names(user), "tag on") or cells.muted("Member")


USER_LIST = Listing[User](
    Column("User", user_entity, ("username", "name"), "wide", phone_label=""),
    Column("Email", attrgetter("email"), ("email",), "muted breaks not-on-phones"),
    Column("Site roles", role_tags, ("site_roles",)),
    Column("Status", lambda user: status(user.status, chip=True), ("status",)),
    Column("Last seen", lambda user: cells.ago_or_never(user.last_seen_at), ("last_seen_at",), "number"),
    Column("Created", lambda user: ago(user.created_at), ("created_at",), "number muted not-on-phones"),
)


def may_create_users(actor: Actor) -> bool:
    return allowed_everywhere(actor, Action.CREATE, Resource.USER)


# ---------------------------------------------------------------------- creating a user
class NewUserForm(ConsoleForm):
    username = username_field()
    email = forms.EmailField(label="Email", max_length=254, help_text="The user signs in with it.")
    name = forms.CharField(label="Full name", max_length=128, required=False)
    password = forms.CharField(
        label="Password",
        max_length=PASSWORD_LENGTH,
        required=False,
        strip=False,
        help_text=f"{PASSWORD_RULES} Send it to the user, who can change it on the Account page.",
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )
    no_sign_in = forms.BooleanField(
        label="The user cannot sign in",
        required=False,
        help_text="For an account without a password. An owner creates its tokens.",
        widget=forms.CheckboxInput({"class": "switch", "role": "switch"}),
    )
    organizations = forms.MultipleChoiceField(
        label="Member of", widget=forms.CheckboxSelectMultiple, error_messages={"required": "Choose at least one."}
    )

    def __init__(self, organizations: list[Organization], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.choices = organizations
        field: Any = self.fields["organizations"]
        field.choices = [(str(row.pk), row.display_name or row.name) for row in organizations]
        field.initial = [str(row.pk) for row in organizations if row.is_default or len(organizations) == 1]

    def clean(self) -> dict[str, Any]:
        """Raise ValidationError for a password that nobody can use, and for a missing one."""
        given = super().clean() or self.cleaned_data
        if given.get("no_sign_in") and given.get("password"):
            self.add_error("password", "A user who cannot sign in has no password.")
        elif not given.get("no_sign_in") and not given.get("password") and "password" not in self.errors:
            self.add_error("password", "This field is required.")
        return given

    def chosen(self) -> list[Organization]:
        wanted = set(self.cleaned_data["organizations"])
        return [row for row in self.choices if str(row.pk) in wanted]


class NewUser(SignedInPage):
    """Creates a user, for user administrators."""

    section = "users"

    def prepare(self) -> None:  # type: ignore[override]
        if not may_create_users(self.actor):
            raise Forbidden("Only user administrators can create users.")

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self._page(NewUserForm(self._organizations()))

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = NewUserForm(self._organizations(), request.POST)
        if not form.is_valid():
            return self._page(form)
        given = form.cleaned_data
        try:
            user = users.create_user(
                self.actor,
                username=given["username"],
                email=given["email"],
                password=None if given["no_sign_in"] else given["password"],
                name=given["name"],
                organizations=form.chosen(),
            )
        except DomainError as error:
            form.show_error(error)
            return self._page(form, error.status_code)
        how = (
            f"can sign in as {user.email}" if user.login_type == UserLogin.PASSWORD else "is created and cannot sign in"
        )
        return self.go(user_url(user), f"{user.username} {how}.")

    def _organizations(self) -> list[Organization]:
        """Return the organizations to which the actor may add members."""
        rows = visible_organizations(self.actor).order_by("-is_default", "name")
        create = (Action.CREATE, Resource.ORGANIZATION_MEMBER)
        return [row for row in rows if allowed(self.actor, *create, organization_id=row.pk)]

    def _page(self, form: NewUserForm, status: int = 200) -> HttpResponseBase:
        context = {"form": form, "trail": [USERS, ("New user", "")], "cancel_url": reverse("users")}
        return self.show("accounts/new_user.html", context, status=status)
