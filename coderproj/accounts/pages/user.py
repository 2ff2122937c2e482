"""A user: profile, memberships, and the actions of administrators."""

import uuid
from abc import ABC, abstractmethod
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.accounts.pages.addresses import user_url
from coderproj.accounts.pages.people import find_visible_user
from coderproj.accounts.pages.tokens import may_create_tokens, may_see_tokens, token_table
from coderproj.accounts.pages.user_forms import NewPasswordForm, ProfileForm, RolesForm
from coderproj.accounts.pages.users import USERS, role_names
from coderproj.base.contributions import contributions
from coderproj.base.errors import DomainError, Forbidden
from coderproj.console.questions import Question
from coderproj.console.views import SignedInPage
from coderproj.identity import services, users
from coderproj.identity.actor import Actor
from coderproj.identity.filters import reads_audit_log
from coderproj.identity.groups import visible_groups
from coderproj.identity.models import Group, Membership, User, UserStatus
from coderproj.identity.organizations import visible_organizations
from coderproj.identity.rbac import ROLES, Action, Resource, allowed, assignable_roles
from coderproj.identity.rights import exceeds
from coderproj.identity.roles import SiteRole


# ---------------------------------------------------------------------- actions that are offered
def may_update(actor: Actor, user: User) -> bool:
    """Return True if the actor may change the profile: their own, or as a user administrator."""
    return allowed(actor, Action.UPDATE, Resource.USER, owner_id=user.pk) and not exceeds(actor, user)


def may_set_roles(actor: Actor, user: User) -> bool:
    return bool(assignable_roles(actor)) and user.pk != actor.id


def suspension_of(actor: Actor, user: User) -> Question | None:
    """Return the question before a user is suspended, or None if suspending is not offered."""
    administers = allowed(actor, Action.UPDATE, Resource.USER)
    if not administers or user.pk == actor.id or SiteRole.OWNER in user.site_roles or not user.is_active:
        return None
    return Question(
        key="suspend",
        url=user_url(user, "suspend-user"),
        action="Suspend",
        title=f"Suspend {user.username}?",
        consequences=(
            "All sessions and API tokens of the user end immediately.",
            (
                "The user cannot sign in until an administrator activates the account. "
                "Groups, roles and created objects stay."
            ),
        ),
        button=f"Suspend {user.username}",
        back_url=user_url(user),
        back_label="Keep the user active",
        danger=True,
    )


def deletion_of(actor: Actor, user: User) -> Question | None:
    """Return the question before a user is deleted, or None if deleting is not offered."""
    may = allowed(actor, Action.DELETE, Resource.USER) and not exceeds(actor, user)
    if not may or user.pk == actor.id:
        return None
    return Question(
        key="delete",
        url=user_url(user, "delete-user"),
        action="Delete",
        title=f"Delete {user.username}?",
        consequences=(
            "All sessions and API tokens of the user end immediately. This cannot be undone.",
            "Templates, versions and the audit log keep the name as the author. Another user can take the name.",
        ),
        button=f"Delete {user.username}",
        back_url=user_url(user),
        back_label=f"Keep {user.username}",
        danger=True,
    )


# ---------------------------------------------------------------------- pages
class UserSection(SignedInPage):
    """A page about one visible user, ``self.user``."""

    section = "users"
    user: User

    def prepare(self, user: uuid.UUID) -> None:  # type: ignore[override]
        self.user = find_visible_user(self.actor, user)

    def page(self, *, status: int = 200, **forms: Any) -> HttpResponseBase:
        """Return the user's page; ``forms`` are forms with errors, which replace the empty ones."""
        user, actor = self.user, self.actor
        shown = visible_organizations(actor).values("pk")
        memberships = Membership.objects.filter(user=user, organization__in=shown).select_related("organization")
        context: dict[str, Any] = {
            "user": user,
            "roles": role_names(user),
            "memberships": [
                (row.organization, [ROLES[role].display_name for role in row.roles if role in ROLES])
                for row in memberships.order_by("organization__name")
            ],
            "groups": visible_groups_of(actor, user),
            "panels": [panel for make in contributions("user_panels") if (panel := make(actor, user))],
            "suspension": suspension_of(actor, user),
            "deletion": deletion_of(actor, user),
            "may_activate": user.status == UserStatus.SUSPENDED
            and allowed(actor, Action.UPDATE, Resource.USER)
            and not exceeds(actor, user),
            "audit_offered": reads_audit_log(actor),
            "is_self": user.pk == actor.id,
            "trail": [USERS, (user.username, "")],
        }
        if may_update(actor, user):
            context["profile_form"] = forms.get("profile_form") or ProfileForm(
                initial={"username": user.username, "name": user.name, "avatar_url": user.avatar_url}
            )
            if user.pk != actor.id:
                context["password_form"] = forms.get("password_form") or NewPasswordForm()
        if may_set_roles(actor, user):
            context["roles_form"] = forms.get("roles_form") or RolesForm(initial={"roles": user.site_roles})
        if may_see_tokens(actor, user):
            tokens = services.list_tokens(actor, user)
            context["shows_tokens"] = True
            context["may_create"] = may_create_tokens(actor, user)
            context["tokens"] = token_table(actor, reversed(tokens), back_url=user_url(user))
        return self.show("accounts/user.html", context, status=status)


def visible_groups_of(actor: Actor, user: User) -> list[Group]:
    """Return the visible groups of a user, by name. One query."""
    groups = visible_groups(actor).filter(memberships__user=user).select_related("organization")
    return list(groups.order_by("name", "organization__name"))


class UserPage(UserSection):
    def get(self, request: HttpRequest, user: uuid.UUID) -> HttpResponseBase:
        return self.page()


class UserForms(UserSection):
    """A form of the user's page. GET redirects to the page."""

    def get(self, request: HttpRequest, user: uuid.UUID) -> HttpResponseBase:
        return self.go(user_url(self.user))


class Profile(UserForms):
    """Changes the names of a user."""

    def post(self, request: HttpRequest, user: uuid.UUID) -> HttpResponseBase:
        form = ProfileForm(request.POST)
        if not form.is_valid():
            return self.page(profile_form=form)
        try:
            users.update_profile(self.actor, self.user, form.cleaned_data)
        except DomainError as error:
            if isinstance(error, Forbidden):
                raise
            form.show_error(error)
            self.user.refresh_from_db()
            return self.page(profile_form=form, status=error.status_code)
        return self.go(user_url(self.user), "The profile is saved.")


class SiteRoles(UserForms):
    """Sets the site roles of a user to the selected ones."""

    def post(self, request: HttpRequest, user: uuid.UUID) -> HttpResponseBase:
        form = RolesForm(request.POST)
        if not form.is_valid():
            return self.page(roles_form=form)
        try:
            users.set_site_roles(self.actor, self.user, form.cleaned_data["roles"])
        except DomainError as error:
            if isinstance(error, Forbidden):
                raise
            form.show_error(error)
            return self.page(roles_form=form, status=error.status_code)
        roles = ", ".join(role_names(self.user)) or "Member"
        return self.go(user_url(self.user), f"Site roles of {self.user.username}: {roles}.")


class NewPassword(UserForms):
    """Sets the password of another user. Users change their own on the Account page, which asks for the old one."""

    def post(self, request: HttpRequest, user: uuid.UUID) -> HttpResponseBase:
        if self.user.pk == self.actor.id:
            return self.go("/account")
        form = NewPasswordForm(request.POST)
        if not form.is_valid():
            return self.page(password_form=form)
        try:
            users.change_password(self.actor, self.user, password=form.cleaned_data["password"])
        except DomainError as error:
            if isinstance(error, Forbidden):
                raise
            form.show_error(error)
            return self.page(password_form=form, status=error.status_code)
        return self.go(user_url(self.user), f"{self.user.username} has a new password and is signed out everywhere.")


class UserQuestion(UserSection, ABC):
    """Asks for confirmation before an action on a user. Returns 403 for an action that is not offered."""

    @abstractmethod
    def question(self) -> Question | None:
        """Return the question, or None if the action is not offered."""

    def get(self, request: HttpRequest, user: uuid.UUID) -> HttpResponseBase:
        question = self.question()
        if question is None:
            raise Forbidden
        trail = [USERS, (self.user.username, user_url(self.user)), (question.action, "")]
        return self.show("console/question.html", {"question": question, "trail": trail})


class SuspendUser(UserQuestion):
    def question(self) -> Question | None:
        return suspension_of(self.actor, self.user)

    def post(self, request: HttpRequest, user: uuid.UUID) -> HttpResponseBase:
        users.suspend(self.actor, self.user)
        return self.go(user_url(self.user), f"{self.user.username} is suspended and signed out everywhere.")


class ActivateUser(UserForms):
    """Activates a suspended user."""

    def post(self, request: HttpRequest, user: uuid.UUID) -> HttpResponseBase:
        users.activate(self.actor, self.user)
        return self.go(user_url(self.user), f"{self.user.username} can sign in again. Revoked tokens stay revoked.")


class DeleteUser(UserQuestion):
    def question(self) -> Question | None:
        return deletion_of(self.actor, self.user)

    def post(self, request: HttpRequest, user: uuid.UUID) -> HttpResponseBase:
        users.delete(self.actor, self.user)
        return self.go("/users", f"{self.user.username} is deleted.")
