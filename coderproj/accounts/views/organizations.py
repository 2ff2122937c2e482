"""Organizations, their members and roles."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.accounts.serializers.organizations import (
    CreateOrganizationBody,
    MemberSerializer,
    OrganizationSerializer,
    UpdateOrganizationBody,
)
from coderproj.accounts.serializers.users import AssignableRoleSerializer, RolesBody
from coderproj.accounts.views.base import OfOrganization, OfUser
from coderproj.api.schema import ConfirmationSerializer
from coderproj.base.errors import NotFound
from coderproj.identity import organizations
from coderproj.identity.models import Membership, Organization
from coderproj.identity.rbac import ROLES, Action, Resource, assignable_roles, authorize
from coderproj.identity.roles import OrganizationRole
from coderproj.identity.users import find_user


class OrganizationViewSet(OfOrganization):
    """Organizations and the roles in them."""

    serializer_class = OrganizationSerializer
    serializer_classes = {"roles": AssignableRoleSerializer}
    body_classes = {"create": CreateOrganizationBody, "partial_update": UpdateOrganizationBody}

    def get_queryset(self) -> QuerySet[Organization]:
        return organizations.visible_organizations(self.actor).order_by("-is_default", "name")

    @extend_schema(operation_id="organizations")
    def list(self, request: Request) -> Response:
        """List the visible organizations, the default one first."""
        return self.respond(self.get_queryset(), many=True)

    @extend_schema(operation_id="create_organization")
    def create(self, request: Request) -> Response:
        """Create an organization with the caller as administrator."""
        organizations.authorize_creation(self.actor)
        return self.respond(organizations.create_organization(self.actor, **self.read_body()), status=201)

    @extend_schema(operation_id="organization")
    def retrieve(self, request: Request, organization: str) -> Response:
        """Return an organization by id, by name, or as ``default``."""
        return self.respond(self.find_organization())

    @extend_schema(operation_id="update_organization")
    def partial_update(self, request: Request, organization: str) -> Response:
        """Change an organization's name, display name, description or icon. Omitted fields keep their values."""
        found = self.find_organization()
        authorize(self.actor, Action.UPDATE, Resource.ORGANIZATION, organization_id=found.pk)
        changes = {name: value for name, value in self.read_body().items() if value or name != "name"}
        return self.respond(organizations.update_organization(self.actor, found, changes))

    @extend_schema(operation_id="delete_organization", responses={200: ConfirmationSerializer})
    def destroy(self, request: Request, organization: str) -> Response:
        """Delete an organization without templates, workspaces and provisioner keys. Its members lose their roles in
        it, and their accounts stay."""
        organizations.delete_organization(self.actor, self.find_organization())
        return self.confirm("Organization has been deleted.")

    @extend_schema(operation_id="organization_roles", responses={200: AssignableRoleSerializer(many=True)})
    def roles(self, request: Request, organization: str) -> Response:
        """List the roles of an organization, and which of them the caller may assign."""
        found = self.find_organization()
        authorize(self.actor, Action.READ, Resource.ASSIGN_ORGANIZATION_ROLE, organization_id=found.pk)
        assignable = assignable_roles(self.actor, found.pk)
        roles = [
            {"name": name, "display_name": ROLES[name].display_name, "assignable": name in assignable}
            for name in OrganizationRole.values
        ]
        return self.respond(roles, many=True)


class UserOrganizationViewSet(OfUser):
    """The organizations of a user."""

    serializer_class = OrganizationSerializer

    def get_queryset(self) -> QuerySet[Organization]:
        """Return the user's organizations that are visible to the actor, the default one first. Raises UnknownUser."""
        visible = organizations.visible_organizations(self.actor)
        return visible.filter(memberships__user=self.find_user()).order_by("-is_default", "created_at", "id")

    @extend_schema(operation_id="user_organizations")
    def list(self, request: Request, user: str) -> Response:
        """List the organizations of a user that are visible to the caller, the default one first."""
        return self.respond(self.get_queryset(), many=True)

    @extend_schema(operation_id="user_organization")
    def retrieve(self, request: Request, user: str, organization: str) -> Response:
        """Return one of a user's organizations, by name or id."""
        found = self.find_user()
        wanted = organizations.find_organization(self.actor, organization)
        if not Membership.objects.filter(user=found, organization=wanted).exists():
            raise NotFound
        return self.respond(wanted)


class MemberViewSet(OfOrganization):
    """The members of an organization and their roles in it."""

    serializer_class = MemberSerializer
    body_classes = {"update_roles": RolesBody}

    def get_queryset(self) -> QuerySet[Membership]:
        return organizations.members_of(self.actor, self.find_organization())

    def get_object(self) -> Membership:
        """Return the membership. Raises NotFound, and UnknownUser (400)."""
        organization = self.find_organization()
        return organizations.find_member(self.actor, organization, find_user(self.actor, self.kwargs["user"]))

    @extend_schema(operation_id="organization_members")
    def list(self, request: Request, organization: str) -> Response:
        """List the active members of an organization, by username."""
        return self.respond(self.get_queryset(), many=True)

    @extend_schema(operation_id="organization_member")
    def retrieve(self, request: Request, organization: str, user: str) -> Response:
        """Return a member."""
        return self.respond(self.get_object())

    @extend_schema(operation_id="add_organization_member", responses={200: MemberSerializer})
    def create(self, request: Request, organization: str, user: str) -> Response:
        """Add a user to the organization."""
        found = self.find_organization()
        return self.respond(organizations.add_member(self.actor, found, find_user(self.actor, user)))

    @extend_schema(operation_id="remove_organization_member", responses={204: None})
    def destroy(self, request: Request, organization: str, user: str) -> Response:
        """Remove a member from the organization and its groups."""
        organizations.remove_member(self.actor, self.get_object())
        return Response(status=204)

    @extend_schema(operation_id="organization_member_roles")
    def roles(self, request: Request, organization: str, user: str) -> Response:
        """Return a member with their roles in the organization."""
        return self.respond(self.get_object())

    @extend_schema(operation_id="update_organization_member_roles")
    def update_roles(self, request: Request, organization: str, user: str) -> Response:
        """Set a member's roles in the organization."""
        member = self.get_object()
        authorize(self.actor, Action.UPDATE, Resource.ORGANIZATION_MEMBER, organization_id=member.organization_id)
        return self.respond(organizations.set_member_roles(self.actor, member, self.read_body()["roles"]))
