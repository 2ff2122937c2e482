"""A group: its members, its quota, and the access that it gives."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.safestring import SafeString

from coderproj.accounts.pages.addresses import group_url
from coderproj.accounts.pages.groups import GROUPS, GroupForm
from coderproj.accounts.pages.people import MemberForm, user_entity
from coderproj.accounts.pages.reach import Reachable, reach_of
from coderproj.base.errors import DomainError, Forbidden, NotFound
from coderproj.base.identifiers import parse_uuid
from coderproj.console import cells
from coderproj.console.lists import Column, Listing
from coderproj.console.paging import slice_of
from coderproj.console.questions import Question
from coderproj.console.views import SignedInPage
from coderproj.identity import groups
from coderproj.identity.groups import GroupChange
from coderproj.identity.models import Group, User
from coderproj.identity.rbac import Action, Resource, allowed

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member in the list. ``removal`` is None if removing is not offered."""

    user: User
    removal: Question | None


def _removal_button(row: MemberRow) -> SafeString | str:
    aria_label = f"Remove {row.user.username} from the group"
    return cells.dialog_button(row.removal, "Remove", aria_label=aria_label) if row.removal else ""


MEMBER_LIST = Listing[MemberRow](
    Column("User", lambda row: user_entity(row.user), ("username", "name"), "wide", phone_label=""),
    Column("Email", lambda row: row.user.email, ("email",), "muted breaks not-on-phones"),
    Column("Remove", _removal_button, (), "right", hide_heading=True),
)


class GroupSection(SignedInPage):
    """A page about one visible group, ``self.group``."""

    section = "groups"
    group: Group

    def prepare(self, group: uuid.UUID) -> None:  # type: ignore[override]
        self.group = groups.find_group(self.actor, str(group))

    def may(self, action: Action) -> bool:
        return allowed(self.actor, action, Resource.GROUP, organization_id=self.group.organization_id)

    def page(
        self, *, status: int = 200, form: GroupForm | None = None, member_form: MemberForm | None = None
    ) -> HttpResponseBase:
        """Return the group's page; forms with errors replace the empty ones."""
        group = self.group
        members = groups.active_members(group)
        removable = self.may(Action.UPDATE) and not group.is_everyone
        found = slice_of(self.request, MEMBER_LIST.fetch(members), PAGE_SIZE, address=group_url(group))
        reach = reach_of(self.actor, group)
        context: dict[str, Any] = {
            "group": group,
            "members": MEMBER_LIST.table(
                [MemberRow(user, self.removal(user)) for user in found.rows], without=() if removable else ("Remove",)
            ),
            "slice": found,
            "member_count": members.count(),
            "reach": reach,
            "may_update": self.may(Action.UPDATE),
            "deletion": self.deletion(reach),
            "trail": [GROUPS, (group.name, "")],
        }
        if context["may_update"]:
            context["form"] = form or stored_form(group)
            context["member_form"] = member_form or self.member_form()
        return self.show("accounts/group.html", context, status=status)

    def member_form(self, data: Mapping[str, Any] | None = None) -> MemberForm:
        """Return the form that adds a member of the organization."""
        return MemberForm(self.actor, data, organization=self.group.organization_id)

    def removal(self, user: User) -> Question | None:
        """Return the question before a member is removed, or None if removing is not offered."""
        group = self.group
        if group.is_everyone or not self.may(Action.UPDATE):
            return None
        return Question(
            key=f"remove-{user.pk}",
            url=f"{group_url(group, 'remove-group-member')}?user={user.pk}",
            action="Remove",
            title=f"Remove {user.username} from {group.name}?",
            consequences=(
                "The user loses the access that the group gives immediately, unless it follows from something else.",
                "The quota of the group no longer counts for the user, who can be added again.",
            ),
            button=f"Remove {user.username}",
            back_url=group_url(group),
            back_label=f"Keep {user.username}",
            danger=True,
        )

    def deletion(self, reach: list[Reachable]) -> Question | None:
        """Return the question before the group is deleted, or None if deleting is not offered."""
        group = self.group
        if group.is_everyone or not self.may(Action.DELETE):
            return None
        templates = f"{len(reach)} template{'' if len(reach) == 1 else 's'}"
        return Question(
            key="delete",
            url=group_url(group, "delete-group"),
            action="Delete",
            title=f"Delete {group.name}?",
            consequences=(
                f"It gives access to {templates} visible to you. Members without other access lose it immediately.",
                "No account is changed. This cannot be undone.",
            ),
            button=f"Delete {group.name}",
            back_url=group_url(group),
            back_label=f"Keep {group.name}",
            danger=True,
        )


def stored_form(group: Group) -> GroupForm:
    """Return the form with the stored values. The name of ``Everyone`` cannot be changed."""
    form = GroupForm(
        initial={
            "name": group.name,
            "display_name": group.display_name,
            "quota_allowance": group.quota_allowance,
            "avatar_url": group.avatar_url,
        }
    )
    form.fields["name"].disabled = group.is_everyone
    return form


class GroupPage(GroupSection):
    def get(self, request: HttpRequest, group: uuid.UUID) -> HttpResponseBase:
        return self.page()


class GroupForms(GroupSection):
    """A form of the group's page. GET redirects to the page."""

    def get(self, request: HttpRequest, group: uuid.UUID) -> HttpResponseBase:
        return self.go(group_url(self.group))

    def change(self, change: GroupChange) -> None:
        groups.update_group(self.actor, self.group, change)


class GroupSettings(GroupForms):
    """Changes names, quota and avatar."""

    def post(self, request: HttpRequest, group: uuid.UUID) -> HttpResponseBase:
        form = GroupForm(request.POST, initial={"name": self.group.name})
        form.fields["name"].disabled = self.group.is_everyone
        if not form.is_valid():
            return self.page(form=form)
        try:
            self.change(GroupChange(**form.cleaned_data))
        except DomainError as error:
            if isinstance(error, Forbidden):
                raise
            form.show_error(error)
            self.group.refresh_from_db()
            return self.page(form=form, status=error.status_code)
        return self.go(group_url(self.group), "The group is saved.")


class AddMember(GroupForms):
    """Adds a user, by username or email address."""

    def post(self, request: HttpRequest, group: uuid.UUID) -> HttpResponseBase:
        form = self.member_form(request.POST)
        if not form.is_valid():
            return self.page(member_form=form)
        user: User = form.cleaned_data["username"]
        try:
            self.change(GroupChange(add_users=[str(user.pk)]))
        except DomainError as error:
            if isinstance(error, Forbidden):
                raise
            details = " ".join(problem.detail.replace(str(user.pk), user.username) for problem in error.problems)
            form.add_error("username", details or error.message)
            return self.page(member_form=form, status=error.status_code)
        return self.go(group_url(self.group), f"{user.username} is now a member of {self.group.name}.")


class RemoveMember(GroupForms):
    """Asks for confirmation, and removes the member with the ID ``user``."""

    def get(self, request: HttpRequest, group: uuid.UUID) -> HttpResponseBase:
        if "user" not in request.GET:
            return super().get(request, group)
        member = self._member()
        if member is None:
            raise NotFound
        question = self.removal(member)
        if question is None:
            raise Forbidden
        trail = [GROUPS, (self.group.name, group_url(self.group)), ("Remove", "")]
        return self.show("console/question.html", {"question": question, "trail": trail})

    def post(self, request: HttpRequest, group: uuid.UUID) -> HttpResponseBase:
        member = self._member()
        self.change(GroupChange(remove_users=[request.GET.get("user", "")]))
        name = member.username if member else "The user"
        return self.go(group_url(self.group), f"{name} is no longer a member of {self.group.name}.")

    def _member(self) -> User | None:
        known = parse_uuid(self.request.GET.get("user", ""))
        return groups.active_members(self.group).filter(pk=known).first() if known else None


class DeleteGroup(GroupSection):
    """Asks for confirmation, and deletes the group."""

    def get(self, request: HttpRequest, group: uuid.UUID) -> HttpResponseBase:
        question = self.deletion(reach_of(self.actor, self.group))
        if question is None:
            raise Forbidden
        trail = [GROUPS, (self.group.name, group_url(self.group)), ("Delete", "")]
        return self.show("console/question.html", {"question": question, "trail": trail})

    def post(self, request: HttpRequest, group: uuid.UUID) -> HttpResponseBase:
        groups.delete_group(self.actor, self.group)
        return self.go("/groups", f"{self.group.name} is deleted.")
