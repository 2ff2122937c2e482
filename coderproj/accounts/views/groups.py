"""Groups of an organization."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.accounts.serializers.groups import CreateGroupBody, GroupAnswer, GroupSerializer, UpdateGroupBody
from coderproj.accounts.views.base import OfOrganization
from coderproj.api.schema import ConfirmationSerializer
from coderproj.api.views import ApiView
from coderproj.identity import groups
from coderproj.identity.models import Group
from coderproj.identity.rbac import Action, Resource, authorize


class OrganizationGroupsView(OfOrganization):
    """List an organization's groups without ``Everyone``; create a group."""

    @extend_schema(operation_id="organization_groups", responses={200: GroupAnswer(many=True)})
    def get(self, request: Request, organization: str) -> Response:
        rows = groups.groups_of(self.actor, self.find_organization())
        return Response(GroupSerializer(rows, many=True).data)

    @extend_schema(operation_id="create_group", request=CreateGroupBody, responses={201: GroupAnswer})
    def post(self, request: Request, organization: str) -> Response:
        found = self.find_organization()
        authorize(self.actor, Action.CREATE, Resource.GROUP, organization_id=found.pk)
        group = groups.create_group(self.actor, found, **self.body(CreateGroupBody))
        return Response(_answer(group), status=201)


class OrganizationGroupView(OfOrganization):
    """A group by its exact name, or by its id."""

    @extend_schema(operation_id="organization_group", responses={200: GroupAnswer})
    def get(self, request: Request, organization: str, group: str) -> Response:
        return Response(_answer(groups.find_group_in(self.actor, self.find_organization(), group)))


class GroupView(ApiView):
    def find_group(self) -> Group:
        """Return the visible group by id or name. Raises NotFound."""
        return groups.find_group(self.actor, self.kwargs["group"])

    @extend_schema(operation_id="group", responses={200: GroupAnswer})
    def get(self, request: Request, group: str) -> Response:
        """Return a group with its members."""
        return Response(_answer(self.find_group()))

    @extend_schema(operation_id="update_group", request=UpdateGroupBody, responses={200: GroupAnswer})
    def patch(self, request: Request, group: str) -> Response:
        """Change a group's name, avatar, quota or members."""
        found = self.find_group()
        authorize(self.actor, Action.UPDATE, Resource.GROUP, organization_id=found.organization_id)
        change = groups.GroupChange(**self.body(UpdateGroupBody))
        return Response(_answer(groups.update_group(self.actor, found, change)))

    @extend_schema(operation_id="delete_group", responses={200: ConfirmationSerializer})
    def delete(self, request: Request, group: str) -> Response:
        """Delete a group and the access that its members have through it."""
        groups.delete_group(self.actor, self.find_group())
        return self.answer("Successfully deleted group!")


def _answer(group: Group) -> dict[str, object]:
    return GroupSerializer(groups.with_members([group])[0]).data
