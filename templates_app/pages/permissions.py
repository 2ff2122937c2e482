"""Who may use a template and who may administer it: its access list, and what comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.console.forms import ConsoleForm
from coderproj.console.paging import slice_of
from coderproj.errors import DomainError, NotFound
from coderproj.identity.models import Group, UserStatus
from coderproj.identity.pages.groups import counted
from coderproj.identity.rbac import Action
from coderproj.identity.users import visible_users
from templates_app import effective_access
from templates_app.models import AccessRole, Template
from templates_app.pages.addresses import template_url
from templates_app.pages.base import TemplateSection, manages
from templates_app.services import access

PAGE_SIZE = 30
SUGGESTIONS = 8
ROLES = [(AccessRole.USE.value, "May use it"), (AccessRole.ADMIN.value, "May administer it")]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the access list. ``members`` is the number of a group's active members, None for a user."""

    kind: str
    id: str
    name: str
    note: str
    role: str
    members: int | None = None


class UserForm(ConsoleForm):
    username = forms.CharField(label="Username or email", max_length=254)
    role = forms.ChoiceField(label="Role", choices=ROLES)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].widget.attrs.update(autocomplete="off", spellcheck="false", list="people")


class GroupForm(ConsoleForm):
    group = forms.ChoiceField(label="Group")
    role = forms.ChoiceField(label="Role", choices=ROLES)

    def __init__(self, groups: Sequence[Group], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, prefix="of-group", **kwargs)
        self.fields["group"].choices = [(str(group.pk), group.name) for group in groups]  # type: ignore[attr-defined]


class TemplatePermissions(TemplateSection):
    """The access list, for everybody who sees the template; changing it, and who that lets in, for those who may
    change it."""

    tab = "permissions"
    may_change: bool

    def prepare(self, **route: str) -> None:
        super().prepare(**route)
        self.may_change = manages(self.actor, self.template, Action.CREATE)

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        return self.page(UserForm())

    def page(self, form: UserForm, status: int = 200) -> HttpResponseBase:
        listed = access.access_list(self.actor, self.template, members=counted)
        entries = [
            *(
                Entry("group", str(group.pk), group.name, "", role, group.member_count)  # type: ignore[attr-defined]
                for group, role in listed.groups
            ),
            *(Entry("user", str(user.pk), user.username, user.name or user.email, role) for user, role in listed.users),
        ]
        context: dict[str, Any] = {"entries": entries, "roles": ROLES, "may_change": self.may_change}
        if self.may_change:
            context |= self._changing(entries, form) | self._in_effect()
        return self.show("templates_app/permissions.html", self.frame("Permissions") | context, status=status)

    def _changing(self, entries: Sequence[Entry], form: UserForm) -> dict[str, Any]:
        listed = {entry.id for entry in entries}
        groups = Group.objects.filter(organization=self.template.organization_id).only("name").order_by("name")
        free = [group for group in groups if str(group.pk) not in listed]
        return {
            "user_form": form,
            "group_form": GroupForm(free) if free else None,
            "people_url": template_url(self.template, "template-people"),
            "change_url": template_url(self.template, "change-permission"),
        }

    def _in_effect(self) -> dict[str, Any]:
        query = self.request.GET.get("q", "").strip()
        users = effective_access.people(self.template).only("username", "name", "email", "site_roles")
        if query:
            users = users.filter(username__icontains=query)
        found = slice_of(self.request, users, PAGE_SIZE)
        return {"in_effect": effective_access.explain(self.template, found.rows), "slice": found, "q": query}


class ChangePermission(TemplatePermissions):
    """Gives somebody a role, or takes it away: ``user`` or ``group`` with an id, or ``username``; ``role`` may be
    blank."""

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        return self.go(template_url(self.template, "template-permissions"))

    def post(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        access.authorize(self.actor, Action.CREATE, self.template)
        if "username" in request.POST:
            return self._add_user(request)
        group = request.POST.get("of-group-group") or request.POST.get("group", "")
        user = request.POST.get("user", "")
        role = request.POST.get("of-group-role") or request.POST.get("role", "")
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
        form = UserForm(request.POST)
        if not form.is_valid():
            return self.page(form, 400)
        name = form.cleaned_data["username"].strip()
        users = visible_users(self.actor).filter(status=UserStatus.ACTIVE)
        user = users.filter(username__iexact=name).first() or users.filter(email__iexact=name).first()
        if user is None:
            form.add_error("username", "You know nobody of that name or address.")
            return self.page(form, 400)
        role = form.cleaned_data["role"]
        try:
            access.update_access_list(self.actor, self.template, user_roles={str(user.pk): role}, group_roles={})
        except DomainError as error:
            form.refuse(error)
            return self.page(form, error.status_code)
        return self._done(f"{user.username} may now {'administer' if role == AccessRole.ADMIN else 'use'} it.")

    def _done(self, message: str) -> HttpResponseBase:
        if not Template.objects.visible(self.actor).filter(pk=self.template.pk).exists():
            return self.go("/templates", f"{message} You have no access to {self.template.name} any more.")
        return self.go(template_url(self.template, "template-permissions"), message)


class SuggestPeople(TemplateSection):
    """Usernames that begin with what is being typed, for those who may change the access list."""

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        access.authorize(self.actor, Action.CREATE, self.template)
        start = request.GET.get("username", "").strip()
        users = visible_users(self.actor).filter(status=UserStatus.ACTIVE)
        names = users.filter(username__istartswith=start).order_by("username").values_list("username", flat=True)
        return self.show("templates_app/_people.html", {"names": names[:SUGGESTIONS] if start else []})
