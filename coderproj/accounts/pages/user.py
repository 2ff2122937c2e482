"""A user: who they are, what they belong to, what may be done with them."""

import uuid
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.accounts.pages.addresses import user_url
from coderproj.accounts.pages.people import find_visible_user
from coderproj.accounts.pages.tokens import may_create_tokens, may_see_tokens, token_table
from coderproj.accounts.pages.user_forms import NewPasswordForm, ProfileForm, RolesForm
from coderproj.accounts.pages.users import USERS, role_names
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
from coderproj.identity.roles import SiteRole


# ---------------------------------------------------------------------- what is offered
def _in_others_hands(actor: Actor, user: User) -> bool:
    """An owner's account is in owners' hands alone."""
    return user.pk != actor.id and SiteRole.OWNER in user.site_roles and SiteRole.OWNER not in actor.site_roles


def may_update(actor: Actor, user: User) -> bool:
    """Whether the actor may change the profile: their own, or as an administrator of users."""
    return allowed(actor, Action.UPDATE, Resource.USER, owner_id=user.pk) and not _in_others_hands(actor, user)


def may_set_roles(actor: Actor, user: User) -> bool:
    return bool(assignable_roles(actor)) and user.pk != actor.id


def suspension_of(actor: Actor, user: User) -> Question | None:
    """The question before a user is locked out, or None where it is not offered."""
    administers = allowed(actor, Action.UPDATE, Resource.USER)
    if not administers or user.pk == actor.id or SiteRole.OWNER in user.site_roles or not user.is_active:
        return None
    return Question(
        key="suspend",
        url=user_url(user, "suspend-user"),
        action="Suspend",
        title=f"Suspend {user.username}?",
        consequences=(
            "They are signed out everywhere at once, and all their API tokens end.",
            "They cannot sign in until somebody activates them. Groups, roles and what they made stay.",
        ),
        button=f"Suspend {user.username}",
        back_url=user_url(user),
        back_label="Leave them in",
        danger=True,
    )


def deletion_of(actor: Actor, user: User) -> Question | None:
    """The question before a user is deleted, or None where it is not offered."""
    may = allowed(actor, Action.DELETE, Resource.USER) and not _in_others_hands(actor, user)
    if not may or user.pk == actor.id:
        return None
    return Question(
        key="delete",
        url=user_url(user, "delete-user"),
        action="Delete",
        title=f"Delete {user.username}?",
        consequences=(
            "They are signed out everywhere at once, and all their API tokens end. This cannot be undone.",
            "Templates, versions and the audit log keep their name as the author. Another user may take the name.",
        ),
        button=f"Delete {user.username}",
        back_url=user_url(user),
        back_label=f"Keep {user.username}",
        danger=True,
    )


# ---------------------------------------------------------------------- pages
class UserSection(SignedInPage):
    """A page about one user whom the actor may see, as ``self.user``."""

    section = "users"
    user: User

    def prepare(self, user: uuid.UUID) -> None:  # type: ignore[override]
        self.user = find_visible_user(self.actor, user)

    def page(self, *, status: int = 200, **forms: Any) -> HttpResponseBase:
        """The user's page; ``forms`` replace those that were sent with mistakes."""
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
            "groups": groups_with(actor, user),
            "suspension": suspension_of(actor, user),
            "deletion": deletion_of(actor, user),
            "may_activate": user.status == UserStatus.SUSPENDED and allowed(actor, Action.UPDATE, Resource.USER),
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


def groups_with(actor: Actor, user: User) -> list[Group]:
    """The groups of a user, of those that the actor may see, by name. One query."""
    groups = visible_groups(actor).filter(memberships__user=user).select_related("organization")
    return list(groups.order_by("name", "organization__name"))


class UserPage(UserSection):
    def get(self, request: HttpRequest, user: uuid.UUID) -> HttpResponseBase:
        return self.page()


class UserForms(UserSection):
    """A form of the user's page; without anything to send, one is led back there."""

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
            form.refuse(error)
            self.user.refresh_from_db()
            return self.page(profile_form=form, status=error.status_code)
        return self.go(user_url(self.user), "The profile is saved.")


class SiteRoles(UserForms):
    """Gives a user exactly the roles that are ticked."""

    def post(self, request: HttpRequest, user: uuid.UUID) -> HttpResponseBase:
        form = RolesForm(request.POST)
        if not form.is_valid():
            return self.page(roles_form=form)
        try:
            users.set_site_roles(self.actor, self.user, form.cleaned_data["roles"])
        except DomainError as error:
            if isinstance(error, Forbidden):
                raise
            form.refuse(error)
            return self.page(roles_form=form, status=error.status_code)
        roles = ", ".join(role_names(self.user)) or "Member"
        return self.go(user_url(self.user), f"{self.user.username} is now: {roles}.")


class NewPassword(UserForms):
    """Sets a password for somebody else; one's own is changed under the account, which asks for the old one."""

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
            form.refuse(error)
            return self.page(password_form=form, status=error.status_code)
        return self.go(user_url(self.user), f"{self.user.username} has a new password, and is signed out everywhere.")


class UserQuestion(UserSection):
    """Asks before something is done with a user; what is not offered answers 403."""

    def question(self) -> Question | None:
        """What is asked; None where it is not offered. Every page defines it."""
        raise NotImplementedError  # abstract: the page's own

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
        return self.go(user_url(self.user), f"{self.user.username} is suspended, and signed out everywhere.")


class ActivateUser(UserForms):
    """Lets a suspended user in again."""

    def post(self, request: HttpRequest, user: uuid.UUID) -> HttpResponseBase:
        users.activate(self.actor, self.user)
        return self.go(user_url(self.user), f"{self.user.username} can sign in again. Tokens that ended stay ended.")


class DeleteUser(UserQuestion):
    def question(self) -> Question | None:
        return deletion_of(self.actor, self.user)

    def post(self, request: HttpRequest, user: uuid.UUID) -> HttpResponseBase:
        users.delete(self.actor, self.user)
        return self.go("/users", f"{self.user.username} is deleted.")
