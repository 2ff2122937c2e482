"""Organizations, their members and roles."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.accounts.serializers.organizations import (
    CreateOrganizationBody,
    MemberSerializer,
    OrganizationSerializer,
)
from coderproj.accounts.serializers.users import AssignableRoleSerializer, RolesBody
from coderproj.accounts.views.base import OfOrganization, OfUser
from coderproj.api.schema import ConfirmationSerializer
from coderproj.api.views import ApiView
from coderproj.base.errors import NotFound
from coderproj.identity import organizations
from coderproj.identity.models import Membership
from coderproj.identity.rbac import ROLES, Action, Resource, assignable_roles, authorize
from coderproj.identity.roles import OrganizationRole
from coderproj.identity.users import find_user


class OrganizationsView(ApiView):
    """List the visible organizations, the default one first; create an organization."""

    @extend_schema(operation_id="organizations", responses={200: OrganizationSerializer(many=True)})
    def get(self, request: Request) -> Response:
        rows = organizations.visible_organizations(self.actor).order_by("-is_default", "name")
        return Response(OrganizationSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="create_organization",
        request=CreateOrganizationBody,
        responses={201: OrganizationSerializer},
    )
    def post(self, request: Request) -> Response:
        organizations.authorize_creation(self.actor)
        body = self.body(CreateOrganizationBody)
        organization = organizations.create_organization(self.actor, **body)
        return Response(OrganizationSerializer(organization).data, status=201)


class OrganizationView(OfOrganization):
    @extend_schema(operation_id="organization", responses={200: OrganizationSerializer})
    def get(self, request: Request, organization: str) -> Response:
        """An organization by id, by name, or as ``default``."""
        return Response(OrganizationSerializer(self.find_organization()).data)


class UserOrganizationsView(OfUser):
    """The organizations of a user that are visible to the caller, the default one first."""

    @extend_schema(operation_id="user_organizations", responses={200: OrganizationSerializer(many=True)})
    def get(self, request: Request, user: str) -> Response:
        visible = organizations.visible_organizations(self.actor)
        rows = visible.filter(memberships__user=self.find_user()).order_by("-is_default", "created_at", "id")
        return Response(OrganizationSerializer(rows, many=True).data)


class UserOrganizationView(OfUser):
    """One of a user's organizations, by name or id."""

    @extend_schema(operation_id="user_organization", responses={200: OrganizationSerializer})
    def get(self, request: Request, user: str, organization: str) -> Response:
        found = self.find_user()
        wanted = organizations.find_organization(self.actor, organization)
        if not Membership.objects.filter(user=found, organization=wanted).exists():
            raise NotFound
        return Response(OrganizationSerializer(wanted).data)


class MembersView(OfOrganization):
    """The active members of an organization, by username."""

    @extend_schema(operation_id="organization_members", responses={200: MemberSerializer(many=True)})
    def get(self, request: Request, organization: str) -> Response:
        rows = organizations.members_of(self.actor, self.find_organization())
        return Response(MemberSerializer(rows, many=True).data)


class OrganizationRolesView(OfOrganization):
    """The roles of an organization, and which of them the caller may assign."""

    @extend_schema(operation_id="organization_roles", responses={200: AssignableRoleSerializer(many=True)})
    def get(self, request: Request, organization: str) -> Response:
        found = self.find_organization()
        authorize(self.actor, Action.READ, Resource.ASSIGN_ORGANIZATION_ROLE, organization_id=found.pk)
        assignable = assignable_roles(self.actor, found.pk)
        return Response(
            [
                {"name": name, "display_name": ROLES[name].display_name, "assignable": name in assignable}
                for name in OrganizationRole.values
            ]
        )


class OfMember(OfOrganization):
    """A view below ``/organizations/{organization}/members/{user}``."""

    def find_member(self) -> Membership:
        """Return the membership. Raises NotFound, and UnknownUser (400)."""
        organization = self.find_organization()
        return organizations.find_member(self.actor, organization, find_user(self.actor, self.kwargs["user"]))


class MemberView(OfMember):
    """Read, add and remove a member."""

    @extend_schema(operation_id="organization_member", responses={200: MemberSerializer})
    def get(self, request: Request, organization: str, user: str) -> Response:
        return Response(MemberSerializer(self.find_member()).data)

    @extend_schema(operation_id="add_organization_member", request=None, responses={201: MemberSerializer})
    def post(self, request: Request, organization: str, user: str) -> Response:
        found = self.find_organization()
        member = organizations.add_member(self.actor, found, find_user(self.actor, user))
        return Response(MemberSerializer(member).data, status=201)

    @extend_schema(operation_id="remove_organization_member", responses={200: ConfirmationSerializer})
    def delete(self, request: Request, organization: str, user: str) -> Response:
        organizations.remove_member(self.actor, self.find_member())
        return self.answer("The user is no longer a member of the organization.")


class MemberRolesView(OfMember):
    @extend_schema(operation_id="organization_member_roles", responses={200: MemberSerializer})
    def get(self, request: Request, organization: str, user: str) -> Response:
        """Return a member with their roles in the organization."""
        return Response(MemberSerializer(self.find_member()).data)

    @extend_schema(
        operation_id="update_organization_member_roles", request=RolesBody, responses={200: MemberSerializer}
    )
    def put(self, request: Request, organization: str, user: str) -> Response:
        """Set a member's roles in the organization."""
        member = self.find_member()
        authorize(self.actor, Action.UPDATE, Resource.ORGANIZATION_MEMBER, organization_id=member.organization_id)
        roles = self.body(RolesBody)["roles"]
        return Response(MemberSerializer(organizations.set_member_roles(self.actor, member, roles)).data)
