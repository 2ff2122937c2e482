"""The access list of a template, and the users who have access in effect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.safestring import SafeString

from coderproj.accounts.pages.groups import with_member_count
from coderproj.accounts.pages.people import MemberForm
from coderproj.base.errors import DomainError, NotFound
from coderproj.console import cells
from coderproj.console.forms import ConsoleForm
from coderproj.console.lists import Column, Listing
from coderproj.console.paging import slice_of
from coderproj.console.questions import Question
from coderproj.identity.models import Group, User
from coderproj.identity.rbac import Action
from templates_app import effective_access
from templates_app.effective_access import Access
from templates_app.models import AccessRole, Template
from templates_app.pages.addresses import template_url
from templates_app.pages.base import TemplateSection, manages
from templates_app.services import access

PAGE_SIZE = 30
MAY = {AccessRole.USE.value: "use", AccessRole.ADMIN.value: "administer"}
ROLES = [(AccessRole.USE.value, "May use it"), (AccessRole.ADMIN.value, "May administer it")]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the access list. ``members`` is the number of a group's active members, None for a user; ``removal``
    is the question before it is removed, None if removing is not offered."""

    kind: str
    id: str
    name: str
    note: str
    role: str
    removal: Question | None
    members: int | None = None


def _entry_entity(entry: Entry) -> SafeString:
    members = entry.members
    note = entry.note if members is None else f"Group of {members} active user{'' if members == 1 else 's'}"
    return cells.entity(cells.icon_tile("users" if entry.kind == "group" else "user"), entry.name, note)


def _removal_button(entry: Entry) -> SafeString | str:
    aria_label = f"Remove {entry.name} from the access list"
    return cells.dialog_button(entry.removal, "Remove", aria_label=aria_label) if entry.removal else ""


def _person_entity(row: Access) -> SafeString:
    return cells.entity(cells.avatar(row.user.username), row.user.username, row.user.name or row.user.email)


ENTRY_LIST = Listing[Entry](
    Column("User or group", _entry_entity, classes="full", phone_label=""),
    Column("Role", "templates_app/_entry_role.html", classes="wide"),
    Column("Remove", _removal_button, classes="right", hide_heading=True),
)
# Reasons depend on site roles.
PEOPLE_LIST = Listing[Access](
    Column("User", _person_entity, ("username", "name", "email"), "wide", phone_label=""),
    Column("Can", lambda row: MAY[row.role]),
    Column("Reason", lambda row: ", ".join(row.reasons), ("site_roles",), "full muted"),
)


class UserForm(MemberForm):
    """Gives a user a role; the cleaned ``username`` is the ``User``."""

    role = forms.ChoiceField(choices=ROLES, widget=forms.Select({"aria-label": "Role of the user"}))


class GroupForm(ConsoleForm):
    """Gives a group a role; the cleaned ``group`` is its ID."""

    group = forms.ChoiceField(
        label="Group", error_messages={"invalid_choice": "This group was deleted, or is already on the list."}
    )
    role = forms.ChoiceField(choices=ROLES, widget=forms.Select({"aria-label": "Role of the group"}))

    def __init__(self, groups: Sequence[Group], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, prefix="of-group", **kwargs)
        self.names = {str(group.pk): group.name for group in groups}
        self.fields["group"].choices = list(self.names.items())  # type: ignore[attr-defined]


class TemplatePermissions(TemplateSection):
    """The access list, for all users to whom the template is visible. Changing it and the list of users in effect are
    for actors who may change it."""

    tab = "permissions"
    may_change: bool

    def prepare(self, **route: str) -> None:
        super().prepare(**route)
        self.may_change = manages(self.actor, self.template, Action.CREATE)

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        return self.page()

    def page(
        self, *, user_form: UserForm | None = None, group_form: GroupForm | None = None, status: int = 200
    ) -> HttpResponseBase:
        """Return the page; forms with errors replace the empty ones."""
        entries = self.entries()
        context: dict[str, Any] = {
            "entries": ENTRY_LIST.table(entries, without=() if self.may_change else ("Remove",)),
            "roles": ROLES,
            "may_change": self.may_change,
        }
        if self.may_change:
            context |= self._changing(entries, user_form, group_form) | self._in_effect()
        return self.show("templates_app/permissions.html", self.frame("Permissions") | context, status=status)

    def entries(self) -> list[Entry]:
        """Return the access list, groups first."""
        listed = access.access_list(self.actor, self.template, members=with_member_count)
        return [
            *(self._entry("group", group, group.name, "", role) for group, role in listed.groups),
            *(self._entry("user", user, user.username, user.name or user.email, role) for user, role in listed.users),
        ]

    def _entry(self, kind: str, row: Group | User, name: str, note: str, role: str) -> Entry:
        removal = self._removal(kind, row, name) if self.may_change else None
        return Entry(kind, str(row.pk), name, note, role, removal, getattr(row, "member_count", None))

    def _removal(self, kind: str, row: Group | User, name: str) -> Question:
        own = template_url(self.template, "template-permissions")
        who = "The members of the group" if kind == "group" else "The user"
        lose = "lose" if kind == "group" else "loses"
        return Question(
            key=f"remove-{row.pk}",
            url=f"{template_url(self.template, 'remove-permission')}?{kind}={row.pk}",
            action="Remove",
            title=f"Remove {name} from the access list?",
            consequences=(
                f"{who} {lose} access to {self.template.name} immediately, unless it follows from something else.",
                "Workspaces do not change. The entry can be added again.",
            ),
            button=f"Remove {name}",
            back_url=own,
            back_label=f"Keep {name}",
            danger=True,
        )

    def group_form(self, entries: Sequence[Entry], data: Mapping[str, str] | None = None) -> GroupForm | None:
        """Return the form that adds a group, or None if all groups are listed."""
        listed = {entry.id for entry in entries}
        groups = Group.objects.filter(organization=self.template.organization_id).only("name").order_by("name")
        free = [group for group in groups if str(group.pk) not in listed]
        return GroupForm(free, data) if free else None

    def _changing(
        self, entries: Sequence[Entry], user_form: UserForm | None, group_form: GroupForm | None
    ) -> dict[str, Any]:
        return {
            "user_form": user_form or UserForm(self.actor),
            "group_form": group_form or self.group_form(entries),
            "change_url": template_url(self.template, "change-permission"),
            "own_url": template_url(self.template, "template-permissions"),
        }

    def _in_effect(self) -> dict[str, Any]:
        query = self.request.GET.get("q", "").strip()
        users = PEOPLE_LIST.fetch(effective_access.users_with_access(self.template))
        if query:
            users = users.filter(username__icontains=query)
        address = template_url(self.template, "template-permissions")
        found = slice_of(self.request, users, PAGE_SIZE, address=address)
        people = PEOPLE_LIST.table(effective_access.explain(self.template, found.rows))
        return {"in_effect": people, "slice": found, "q": query}


class ChangePermission(TemplatePermissions):
    """Adds the user or group of a form (``username``, ``of-group-group``), or changes the role of an entry: ``user`` or
    ``group`` with an ID; a blank ``role`` removes the entry."""

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        return self.go(template_url(self.template, "template-permissions"))

    def post(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        access.authorize(self.actor, Action.CREATE, self.template)
        if "username" in request.POST:
            return self._add_user(request)
        if "of-group-group" in request.POST:
            return self._add_group(request)
        group, user = request.POST.get("group", ""), request.POST.get("user", "")
        role = request.POST.get("role", "")
        if not group and not user:
            raise NotFound
        access.update_access_list(
            self.actor,
            self.template,
            user_roles={user: role} if user else {},
            group_roles={group: role} if group else {},
        )
        return self._done("The access list is changed.")

    def _add_user(self, request: HttpRequest) -> HttpResponseBase:
        form = UserForm(self.actor, request.POST)
        if not form.is_valid():
            return self.page(user_form=form, status=400)
        user: User = form.cleaned_data["username"]
        role = form.cleaned_data["role"]
        try:
            access.update_access_list(self.actor, self.template, user_roles={str(user.pk): role}, group_roles={})
        except DomainError as error:
            form.show_error(error)
            return self.page(user_form=form, status=error.status_code)
        return self._done(f"{user.username} may now {MAY[role]} it.")

    def _add_group(self, request: HttpRequest) -> HttpResponseBase:
        form = self.group_form(self.entries(), request.POST)
        if form is None:
            raise NotFound
        if not form.is_valid():
            return self.page(group_form=form, status=400)
        group, role = form.cleaned_data["group"], form.cleaned_data["role"]
        try:
            access.update_access_list(self.actor, self.template, user_roles={}, group_roles={group: role})
        except DomainError as error:
            form.show_error(error)
            return self.page(group_form=form, status=error.status_code)
        return self._done(f"{form.names[group]} may now {MAY[role]} it.")

    def _done(self, message: str) -> HttpResponseBase:
        if not Template.objects.visible(self.actor).filter(pk=self.template.pk).exists():
            return self.go("/templates", f"{message} You no longer have access to {self.template.name}.")
        return self.go(template_url(self.template, "template-permissions"), message)


class RemovePermission(ChangePermission):
    """Asks for confirmation, and removes an entry of the access list: ``user`` or ``group`` with an ID, in the
    address."""

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        if not {"user", "group"} & set(request.GET):
            return super().get(request, **route)
        access.authorize(self.actor, Action.CREATE, self.template)
        found = next((entry for entry in self.entries() if request.GET.get(entry.kind) == entry.id), None)
        if found is None:
            raise NotFound
        return self.show("console/question.html", self.frame("Remove") | {"question": found.removal})

    def post(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        user, group = request.GET.get("user", ""), request.GET.get("group", "")
        if not user and not group:
            raise NotFound
        access.update_access_list(
            self.actor,
            self.template,
            user_roles={user: ""} if user else {},
            group_roles={group: ""} if group else {},
        )
        return self._done("The access list is changed.")
