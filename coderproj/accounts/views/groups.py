"""Groups of an organization."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.accounts.serializers.groups import CreateGroupBody, GroupAnswer, GroupSerializer, UpdateGroupBody
from coderproj.accounts.views.base import OfOrganization
from coderproj.api.schema import ConfirmationSerializer
from coderproj.api.viewsets import ApiViewSet
from coderproj.identity import groups
from coderproj.identity.filters import GroupFilter
from coderproj.identity.models import Group
from coderproj.identity.rbac import Action, Resource, authorize


class AnswersGroups(ApiViewSet):
    """A viewset whose actions return groups. ``GroupAnswer`` describes them in the schema."""

    serializer_class = GroupSerializer

    def respond_group(self, group: Group, status: int = 200) -> Response:
        """Return the response for a group with its members."""
        return self.respond(groups.with_members([group])[0], status)


class OrganizationGroupViewSet(AnswersGroups, OfOrganization):
    """The groups of an organization."""

    body_classes = {"create": CreateGroupBody}

    @extend_schema(operation_id="organization_groups", responses={200: GroupAnswer(many=True)})
    def list(self, request: Request, organization: str) -> Response:
        """List an organization's groups without ``Everyone``."""
        return self.respond(groups.groups_of(self.actor, self.find_organization()), many=True)

    @extend_schema(operation_id="create_group", responses={201: GroupAnswer})
    def create(self, request: Request, organization: str) -> Response:
        """Create a group without members."""
        found = self.find_organization()
        authorize(self.actor, Action.CREATE, Resource.GROUP, organization_id=found.pk)
        return self.respond_group(groups.create_group(self.actor, found, **self.read_body()), status=201)

    @extend_schema(operation_id="organization_group", responses={200: GroupAnswer})
    def retrieve(self, request: Request, organization: str, group: str) -> Response:
        """Return a group by its exact name or its id."""
        return self.respond_group(groups.find_group_in(self.actor, self.find_organization(), group))


class GroupViewSet(AnswersGroups):
    """Groups of all organizations, by id."""

    body_classes = {"partial_update": UpdateGroupBody}
    filterset_class = GroupFilter

    def get_queryset(self) -> QuerySet[Group]:
        return groups.visible_groups(self.actor).order_by("name", "id")

    @extend_schema(operation_id="groups", responses={200: GroupAnswer(many=True)})
    def list(self, request: Request) -> Response:
        """List the visible groups, by name, without ``Everyone`` unless ``group_ids`` names it."""
        return self.respond(groups.with_members(self.filter_queryset(self.get_queryset())), many=True)

    def get_object(self) -> Group:
        """Return the visible group by id or name. Raises NotFound."""
        return groups.find_group(self.actor, self.kwargs["group"])

    @extend_schema(operation_id="group", responses={200: GroupAnswer})
    def retrieve(self, request: Request, group: str) -> Response:
        """Return a group with its members."""
        return self.respond_group(self.get_object())

    @extend_schema(operation_id="update_group", responses={200: GroupAnswer})
    def partial_update(self, request: Request, group: str) -> Response:
        """Change a group's name, avatar, quota or members."""
        found = self.get_object()
        authorize(self.actor, Action.UPDATE, Resource.GROUP, organization_id=found.organization_id)
        change = groups.GroupChange(**self.read_body())
        return self.respond_group(groups.update_group(self.actor, found, change))

    @extend_schema(operation_id="delete_group", responses={200: ConfirmationSerializer})
    def destroy(self, request: Request, group: str) -> Response:
        """Delete a group and the access that its members have through it."""
        groups.delete_group(self.actor, self.get_object())
        return self.confirm("Successfully deleted group!")
