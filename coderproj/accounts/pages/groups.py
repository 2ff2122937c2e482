"""The list of groups, and creating a group."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from django import forms
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from coderproj.accounts.pages.addresses import group_url, organization_url
from coderproj.base.errors import DomainError, Forbidden
from coderproj.base.identifiers import parse_uuid
from coderproj.console import cells
from coderproj.console.forms import ConsoleForm
from coderproj.console.lists import Column, Listing
from coderproj.console.paging import slice_of
from coderproj.console.templatetags.console import ago
from coderproj.console.views import SignedInPage
from coderproj.identity import groups
from coderproj.identity.actor import Actor
from coderproj.identity.models import (
    MAX_ALLOWANCE,
    Group,
    GroupMembership,
    Membership,
    Organization,
    UserStatus,
)
from coderproj.identity.organizations import visible_organizations
from coderproj.identity.rbac import Action, Resource, allowed

PAGE_SIZE = 50
GROUPS = ("Groups", "/groups")


class GroupForm(ConsoleForm):
    """The fields of a group. ``Everyone`` keeps its name."""

    name = forms.CharField(label="Name", max_length=64)
    display_name = forms.CharField(label="Display name", max_length=64, required=False)
    quota_allowance = forms.IntegerField(
        label="Quota",
        min_value=0,
        max_value=MAX_ALLOWANCE,
        initial=0,
        help_text=(
            "Credits a day for the workspaces of each member, counted by the daily cost of their resources. Quotas of "
            "groups add up. Without a quota of any group, the organization has no limit."
        ),
    )
    avatar_url = forms.CharField(
        label="Avatar",
        max_length=1024,
        required=False,
        help_text="The URL of a picture, for clients that show it. This console never loads it.",
    )


class NewGroupForm(GroupForm):
    organization = forms.ChoiceField(label="Organization")
    field_order = ("organization", "name", "display_name", "quota_allowance", "avatar_url")

    def __init__(self, organizations: Sequence[Organization], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["organization"]
        field.choices = [(str(row.pk), row.display_name or row.name) for row in organizations]


def _group_entity(group: Group) -> SafeString:
    picture = cells.icon_tile("boxes" if group.is_everyone else "users")
    note = "All members of the organization" if group.is_everyone else group.display_name
    return cells.entity(picture, group.name, note, url=group_url(group))


def _organization_link(group: Group) -> SafeString:
    organization = group.organization
    name = organization.display_name or organization.name
    return format_html('<a href="{}">{}</a>', organization_url(organization), name)


# For groups annotated by ``with_member_count``.
GROUP_LIST = Listing[Any](
    Column("Group", _group_entity, ("name", "display_name"), "full", phone_label=""),
    Column("Organization", _organization_link, ("organization__name", "organization__display_name")),
    Column("Members", attrgetter("member_count"), (), "number right"),
    Column("Quota", attrgetter("quota_allowance"), ("quota_allowance",), "number right"),
    Column("Changed", lambda group: ago(group.updated_at), ("updated_at",), "number muted not-on-phones"),
)


class GroupsPage(SignedInPage):
    """Groups by name, with search and organization in the address."""

    section = "groups"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        query = request.GET.get("q", "").strip()
        organizations = list(visible_organizations(self.actor).order_by("-is_default", "name"))
        wanted = parse_uuid(request.GET.get("organization", ""))
        found = GROUP_LIST.fetch(with_member_count(groups.visible_groups(self.actor)))
        if wanted:
            found = found.filter(organization=wanted)
        if query:
            found = found.filter(Q(name__icontains=query) | Q(display_name__icontains=query))
        page = slice_of(request, found.order_by("name", "organization__name", "id"), PAGE_SIZE)
        context: dict[str, Any] = {
            "groups": GROUP_LIST.table(page.rows),
            "slice": page,
            "q": query,
            "organizations": organizations if len(organizations) > 1 else [],
            "organization": str(wanted or ""),
            "may_create": bool(organizations_to_group(self.actor, organizations)),
            "only_everyone": not query and page.number == 1 and all(row.is_everyone for row in page.rows),
        }
        return self.show("accounts/groups.html", context, part="accounts/_groups.html")


def with_member_count(rows: "QuerySet[Group]") -> "QuerySet[Any]":
    """Annotate groups with ``member_count``, the number of active members; for ``Everyone`` those of the
    organization."""
    active = Q(user__deleted=False, user__status=UserStatus.ACTIVE)
    own = GroupMembership.objects.filter(active, group=OuterRef("pk")).order_by().values("group")
    everyone = Membership.objects.filter(active, organization=OuterRef("pk")).order_by().values("organization")
    return rows.annotate(
        member_count=Coalesce(
            Subquery(own.annotate(count=Count("pk")).values("count")),
            Subquery(everyone.annotate(count=Count("pk")).values("count")),
            0,
        )
    )


def organizations_to_group(actor: Actor, organizations: Sequence[Organization]) -> list[Organization]:
    """Return the organizations in which the actor may create groups."""
    create = (Action.CREATE, Resource.GROUP)
    return [row for row in organizations if allowed(actor, *create, organization_id=row.pk)]


class NewGroup(SignedInPage):
    """Creates a group, without members."""

    section = "groups"

    def prepare(self) -> None:  # type: ignore[override]
        visible = list(visible_organizations(self.actor).order_by("-is_default", "name"))
        self.organizations = organizations_to_group(self.actor, visible)
        if not self.organizations:
            raise Forbidden("Only user administrators and administrators of an organization can create groups.")

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self._page(NewGroupForm(self.organizations, initial={"organization": request.GET.get("organization")}))

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = NewGroupForm(self.organizations, request.POST)
        if not form.is_valid():
            return self._page(form)
        given = dict(form.cleaned_data)
        chosen = given.pop("organization")
        organization = next(row for row in self.organizations if str(row.pk) == chosen)
        try:
            group = groups.create_group(self.actor, organization, **given)
        except DomainError as error:
            form.show_error(error)
            return self._page(form, error.status_code)
        return self.go(group_url(group), f"{group.name} is created. Add its first members.")

    def _page(self, form: NewGroupForm, status: int = 200) -> HttpResponseBase:
        context = {"form": form, "trail": [GROUPS, ("New group", "")], "cancel_url": reverse("groups")}
        return self.show("accounts/new_group.html", context, status=status)
