"""Organizations, their members and the roles of members."""

import uuid
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from django import forms
from django.db.models import Count, Q
from django.forms.models import model_to_dict
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.html import format_html
from django.utils.safestring import SafeString

from coderproj.accounts.pages.addresses import organization_url
from coderproj.accounts.pages.people import MemberForm, user_entity
from coderproj.base.errors import DomainError, Forbidden, NotFound
from coderproj.base.identifiers import parse_uuid
from coderproj.console import cells
from coderproj.console.forms import ConsoleForm
from coderproj.console.lists import Column, Listing
from coderproj.console.paging import slice_of
from coderproj.console.questions import Question
from coderproj.console.templatetags.console import ago, dash, tile
from coderproj.console.views import SignedInPage
from coderproj.identity import organizations
from coderproj.identity.actor import Actor
from coderproj.identity.models import Membership, Organization, User, UserStatus
from coderproj.identity.rbac import Action, Resource, allowed, allowed_everywhere, assignable_roles
from coderproj.identity.roles import OrganizationRole, SiteRole
from coderproj.identity.users import USERNAME_PATTERN

PAGE_SIZE = 50
ORGANIZATIONS = ("Organizations", "/organizations")


def check_name(value: str) -> None:
    """Raise ValidationError for a name that paths use for something else."""
    if value.lower() == organizations.DEFAULT or parse_uuid(value):
        raise forms.ValidationError("This name is reserved.")


class OrganizationForm(ConsoleForm):
    name = forms.RegexField(
        rf"\A{USERNAME_PATTERN.pattern}\Z",
        label="Name",
        max_length=32,
        help_text="Letters, digits and single dashes between them. It is part of addresses.",
        error_messages={"invalid": "This is not a valid name."},
        validators=[check_name],
    )
    display_name = forms.CharField(label="Display name", max_length=64, required=False)
    description = forms.CharField(label="Description", max_length=256, required=False)


class OrganizationSettingsForm(OrganizationForm):
    icon = forms.CharField(
        label="Icon",
        max_length=256,
        required=False,
        help_text="A path such as /icon/docker.png. It is never fetched: the file name selects a built-in symbol.",
    )


def may_create_organizations(actor: Actor) -> bool:
    return allowed_everywhere(actor, Action.CREATE, Resource.ORGANIZATION)


def _organization_entity(organization: Organization) -> SafeString:
    picture = tile(organization.icon) if organization.icon else cells.icon_tile("network")
    note = f"{organization.name}, default" if organization.is_default else organization.name
    return cells.entity(picture, name_of(organization), note, url=organization_url(organization))


# Of organizations with ``member_count``.
ORGANIZATION_LIST = Listing[Any](
    Column(
        "Organization", _organization_entity, ("name", "display_name", "icon", "is_default"), "full", phone_label=""
    ),
    Column("Description", lambda organization: dash(organization.description), ("description",), "muted full"),
    Column("Members", attrgetter("member_count"), (), "number right"),
    Column("Created", lambda organization: ago(organization.created_at), ("created_at",), "number muted"),
)


class OrganizationsPage(SignedInPage):
    """The visible organizations, with their numbers of active members."""

    section = "organizations"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        active = Q(memberships__user__deleted=False, memberships__user__status=UserStatus.ACTIVE)
        found: Any = organizations.visible_organizations(self.actor)
        counted = ORGANIZATION_LIST.fetch(found).annotate(member_count=Count("memberships", filter=active))
        page = slice_of(request, counted.order_by("-is_default", "name"), PAGE_SIZE)
        organizations_shown = ORGANIZATION_LIST.table(page.rows)
        context = {
            "organizations": organizations_shown,
            "slice": page,
            "may_create": may_create_organizations(self.actor),
        }
        return self.show("accounts/organizations.html", context)


class NewOrganization(SignedInPage):
    """Creates an organization that the actor administers, for owners."""

    section = "organizations"

    def prepare(self) -> None:  # type: ignore[override]
        if not may_create_organizations(self.actor):
            raise Forbidden("Only owners can create organizations.")

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self._page(OrganizationForm())

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = OrganizationForm(request.POST)
        if not form.is_valid():
            return self._page(form)
        try:
            organization = organizations.create_organization(self.actor, **form.cleaned_data)
        except DomainError as error:
            form.show_error(error)
            return self._page(form, error.status_code)
        return self.go(organization_url(organization), f"{organization.name} is ready. You administer it.")

    def _page(self, form: OrganizationForm, status: int = 200) -> HttpResponseBase:
        trail = [ORGANIZATIONS, ("New organization", "")]
        return self.show("accounts/new_organization.html", {"form": form, "trail": trail}, status=status)


# ---------------------------------------------------------------------- one organization
def name_of(organization: Organization) -> str:
    return organization.display_name or organization.name


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member in the list, and whether the actor may change their role."""

    member: Membership
    is_admin: bool
    may_change: bool


def _removal_button(row: MemberRow) -> SafeString:
    user = row.member.user
    return format_html(
        '<a class="button small danger" href="{}?user={}" aria-label="Remove {} from the organization">Remove</a>',
        organization_url(row.member.organization_id, "remove-member"),
        user.pk,
        user.username,
    )


MEMBER_LIST = Listing[MemberRow](
    Column(
        "User",
        lambda row: user_entity(row.member.user, with_email=True),
        ("user__username", "user__name", "user__email"),
        "full",
        phone_label="",
    ),
    Column("Role", "accounts/_member_role.html", ("roles",), "wide"),
    Column("Member since", lambda row: ago(row.member.created_at), ("created_at",), "number muted"),
    Column("Remove", _removal_button, ("organization",), "right", hide_heading=True),
)


class OrganizationSection(SignedInPage):
    """A page about one visible organization, ``self.organization``."""

    section = "organizations"
    organization: Organization

    def prepare(self, organization_id: uuid.UUID) -> None:  # type: ignore[override]
        found = organizations.visible_organizations(self.actor).filter(pk=organization_id).first()
        if found is None:
            raise NotFound
        self.organization = found

    def may(self, action: Action, resource: Resource = Resource.ORGANIZATION_MEMBER) -> bool:
        return allowed(self.actor, action, resource, organization_id=self.organization.pk)

    def member(self, user_id: str) -> Membership:
        """Return the membership of a user. Raises NotFound."""
        known = parse_uuid(user_id)
        user = User.objects.existing().filter(pk=known).first() if known else None
        if user is None:
            raise NotFound
        return organizations.find_member(self.actor, self.organization, user)

    def page(self, *, status: int = 200, member_form: MemberForm | None = None) -> HttpResponseBase:
        organization = self.organization
        sees_members = self.may(Action.READ)
        query = self.request.GET.get("q", "").strip()
        members = Membership.objects.none()
        if sees_members:
            members = organizations.members_of(self.actor, organization)
            if query:
                members = members.filter(Q(user__username__icontains=query) | Q(user__email__icontains=query))
        found = slice_of(self.request, MEMBER_LIST.fetch(members), PAGE_SIZE, address=organization_url(organization))
        assignable = assignable_roles(self.actor, organization.pk)
        context: dict[str, Any] = {
            "organization": organization,
            "name": name_of(organization),
            "sees_members": sees_members,
            "members": MEMBER_LIST.table(
                [
                    MemberRow(
                        member, OrganizationRole.ADMIN in member.roles, bool(assignable) and self._may_change(member)
                    )
                    for member in found.rows
                ],
                without=() if self.may(Action.DELETE) else ("Remove",),
            ),
            "slice": found,
            "q": query,
            "may_update": self.may(Action.UPDATE, Resource.ORGANIZATION),
            "may_add": self.may(Action.CREATE),
            "trail": [ORGANIZATIONS, (name_of(organization), "")],
        }
        if context["may_add"]:
            context["member_form"] = member_form or MemberForm(self.actor)
        return self.show("accounts/organization.html", context, status=status)

    def deletion(self) -> Question | None:
        """Return the question before the organization is deleted, or None if deleting is not offered."""
        organization = self.organization
        if organization.is_default or not organizations.may_delete_organizations(self.actor):
            return None
        name, url = name_of(organization), organization_url(organization, "organization-settings")
        return Question(
            key="delete",
            url=organization_url(organization, "delete-organization"),
            action="Delete",
            title=f"Delete {name}?",
            consequences=(
                "Its groups are deleted, and its members lose the roles that they have in it.",
                "Accounts, ended jobs and the audit log stay. The name can be used again. This cannot be undone.",
            ),
            button=f"Delete {name}",
            back_url=url,
            back_label=f"Keep {name}",
            danger=True,
        )

    def _may_change(self, member: Membership) -> bool:
        """Return True if the actor may change the member's role: only owners change their own."""
        return member.user_id != self.actor.id or SiteRole.OWNER in self.actor.site_roles


class OrganizationPage(OrganizationSection):
    def get(self, request: HttpRequest, organization_id: uuid.UUID) -> HttpResponseBase:
        return self.page()


class OrganizationSettings(OrganizationSection):
    """Name, display name, description and icon, for the administrators of the organization."""

    def prepare(self, organization_id: uuid.UUID) -> None:  # type: ignore[override]
        super().prepare(organization_id)
        if not self.may(Action.UPDATE, Resource.ORGANIZATION):
            raise Forbidden("Only administrators of the organization can change it.")

    def get(self, request: HttpRequest, organization_id: uuid.UUID) -> HttpResponseBase:
        fields = OrganizationSettingsForm.base_fields
        return self._form_page(OrganizationSettingsForm(initial=model_to_dict(self.organization, fields)))

    def post(self, request: HttpRequest, organization_id: uuid.UUID) -> HttpResponseBase:
        form = OrganizationSettingsForm(request.POST)
        if not form.is_valid():
            return self._form_page(form, 400)
        try:
            organizations.update_organization(self.actor, self.organization, form.cleaned_data)
        except NotFound:
            raise
        except DomainError as error:
            form.show_error(error)
            self.organization.refresh_from_db()
            return self._form_page(form, error.status_code)
        return self.go(organization_url(self.organization), "The settings are saved.")

    def _form_page(self, form: OrganizationSettingsForm, status: int = 200) -> HttpResponseBase:
        name, url = name_of(self.organization), organization_url(self.organization)
        context = {
            "form": form,
            "name": name,
            "url": url,
            "deletion": self.deletion(),
            "trail": [ORGANIZATIONS, (name, url), ("Settings", "")],
        }
        return self.show("accounts/organization_settings.html", context, status=status)


class DeleteOrganization(OrganizationSection):
    """Asks for confirmation, and deletes the organization."""

    def get(self, request: HttpRequest, organization_id: uuid.UUID) -> HttpResponseBase:
        question = self.deletion()
        name, url = name_of(self.organization), organization_url(self.organization)
        if question is None:
            if not organizations.may_delete_organizations(self.actor):
                raise Forbidden
            self.warn("The default organization cannot be deleted.")
            return self.go(url)
        trail = [ORGANIZATIONS, (name, url), ("Delete", "")]
        return self.show("console/question.html", {"question": question, "trail": trail})

    def post(self, request: HttpRequest, organization_id: uuid.UUID) -> HttpResponseBase:
        organizations.delete_organization(self.actor, self.organization)
        return self.go("/organizations", f"{name_of(self.organization)} is deleted. Its name can be used again.")


class OrganizationForms(OrganizationSection):
    """A form of the organization's page. GET redirects to the page."""

    def get(self, request: HttpRequest, organization_id: uuid.UUID) -> HttpResponseBase:
        return self.go(organization_url(self.organization))


class AddOrganizationMember(OrganizationForms):
    """Adds a user as a member, by username or email address."""

    def post(self, request: HttpRequest, organization_id: uuid.UUID) -> HttpResponseBase:
        form = MemberForm(self.actor, request.POST)
        if not form.is_valid():
            return self.page(member_form=form)
        user: User = form.cleaned_data["username"]
        try:
            organizations.add_member(self.actor, self.organization, user)
        except DomainError as error:
            if isinstance(error, Forbidden | NotFound):
                raise
            form.add_error("username", error.message)
            return self.page(member_form=form, status=error.status_code)
        return self.go(organization_url(self.organization), f"{user.username} is a member.")


class SetMemberRole(OrganizationForms):
    """Sets the role of the member with the ID ``user``: an administrator, or with a blank ``role`` a plain member."""

    def post(self, request: HttpRequest, organization_id: uuid.UUID) -> HttpResponseBase:
        member = self.member(request.POST.get("user", ""))
        role = request.POST.get("role", "")
        organizations.set_member_roles(self.actor, member, [role] if role else [])
        what = "administers the organization" if role else "is a member without a role"
        return self.go(organization_url(self.organization), f"{member.user.username} now {what}.")


class RemoveOrganizationMember(OrganizationForms):
    """Asks for confirmation, and removes the member with the ID ``user``."""

    def get(self, request: HttpRequest, organization_id: uuid.UUID) -> HttpResponseBase:
        if "user" not in request.GET:
            return super().get(request, organization_id)
        if not self.may(Action.DELETE):
            raise Forbidden
        user = self.member(request.GET["user"]).user
        name = name_of(self.organization)
        url = organization_url(self.organization)
        question = Question(
            key="remove",
            url=f"{organization_url(self.organization, 'remove-member')}?user={user.pk}",
            action="Remove",
            title=f"Remove {user.username} from {name}?",
            consequences=(
                "The user leaves its groups, and loses the access that the groups and the organization give.",
                "The account and the objects that the user created stay.",
            ),
            button=f"Remove {user.username}",
            back_url=url,
            back_label=f"Keep {user.username}",
            danger=True,
        )
        trail = [ORGANIZATIONS, (name, url), ("Remove", "")]
        return self.show("console/question.html", {"question": question, "trail": trail})

    def post(self, request: HttpRequest, organization_id: uuid.UUID) -> HttpResponseBase:
        member = self.member(request.GET.get("user", ""))
        organizations.remove_member(self.actor, member)
        return self.go(organization_url(self.organization), f"{member.user.username} is no longer a member.")
