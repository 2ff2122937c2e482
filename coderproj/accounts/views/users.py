"""Users: list, create, read, change, suspend, delete."""

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.accounts.serializers.users import (
    AssignableRoleSerializer,
    CreateUserBody,
    LoginTypeAnswer,
    PasswordBody,
    ProfileBody,
    RolesBody,
    UserRolesAnswer,
    UsersAnswer,
)
from coderproj.accounts.views.base import OfUser
from coderproj.api.pagination import CountedPagination
from coderproj.api.schema import ConfirmationSerializer
from coderproj.api.throttling import ApiThrottle, LoginThrottle
from coderproj.base.errors import DomainError, Forbidden, NotFound, Problem
from coderproj.identity import users
from coderproj.identity.actor import Actor
from coderproj.identity.filters import UserFilter
from coderproj.identity.models import Organization
from coderproj.identity.models.users import UserQuerySet
from coderproj.identity.organizations import DEFAULT, find_organization, visible_organizations
from coderproj.identity.rbac import ROLES, Action, Resource, assignable_roles, authorize
from coderproj.identity.roles import SiteRole


class UserPagination(CountedPagination):
    results_field = "users"


class UserViewSet(ListModelMixin, OfUser):
    """Users and their roles."""

    serializer_classes = {
        "site_roles": AssignableRoleSerializer,
        "roles": UserRolesAnswer,
        "login_type": LoginTypeAnswer,
    }
    body_classes = {
        "create": CreateUserBody,
        "update_profile": ProfileBody,
        "change_password": PasswordBody,
        "update_roles": RolesBody,
    }
    action_throttles = {"change_password": (ApiThrottle, LoginThrottle)}
    filterset_class = UserFilter
    pagination_class = UserPagination

    def get_queryset(self) -> UserQuerySet:
        return users.visible_users(self.actor).order_by("created_at", "id").prefetch_related("memberships")

    def rows_after(self, rows: UserQuerySet, after_id: uuid.UUID) -> UserQuerySet:
        """Return the rows after this user. Raises DomainError if the user is not visible to the actor."""
        cursor = users.visible_users(self.actor).filter(pk=after_id).first()
        if cursor is None:
            raise DomainError('Record at "after_id" does not exist.', problems=(Problem("after_id", "No such user."),))
        return rows.after(cursor)

    @extend_schema(operation_id="users", responses={200: UsersAnswer})
    def list(self, request: Request) -> Response:
        """List the visible users, oldest first."""
        return super().list(request)

    @extend_schema(operation_id="create_user")
    def create(self, request: Request) -> Response:
        """Create a user."""
        authorize(self.actor, Action.CREATE, Resource.USER)
        body = self.read_body()
        user = users.create_user(
            self.actor,
            username=body["username"],
            email=body["email"],
            password=body["password"] if body["can_sign_in"] else None,
            organizations=organizations_named(self.actor, body),
            name=body["name"],
            avatar_url=body["avatar_url"],
            is_service_account=body["service_account"],
        )
        return self.respond(user, status=201)

    @extend_schema(operation_id="site_roles", responses={200: AssignableRoleSerializer(many=True)})
    def site_roles(self, request: Request) -> Response:
        """List the site roles, and which of them the caller may assign."""
        authorize(self.actor, Action.READ, Resource.ASSIGN_ROLE)
        assignable = assignable_roles(self.actor)
        roles = [
            {"name": name, "display_name": ROLES[name].display_name, "assignable": name in assignable}
            for name in SiteRole.values
        ]
        return self.respond(roles, many=True)

    @extend_schema(operation_id="user")
    def retrieve(self, request: Request, user: str) -> Response:
        """Return a user by id, by username, or as ``me``."""
        return self.respond(self.find_user())

    @extend_schema(operation_id="delete_user", responses={200: ConfirmationSerializer})
    def destroy(self, request: Request, user: str) -> Response:
        """Delete a user. The username and email address become available again."""
        users.delete(self.actor, self.find_user())
        return self.confirm("User has been deleted!")

    @extend_schema(operation_id="update_user_profile")
    def update_profile(self, request: Request, user: str) -> Response:
        """Change a user's username, full name or avatar."""
        found = self.find_user()
        users.authorize_on(self.actor, Action.UPDATE, found)
        return self.respond(users.update_profile(self.actor, found, self.read_body()))

    @extend_schema(operation_id="update_user_password", responses={204: None})
    def change_password(self, request: Request, user: str) -> Response:
        """Change a password. This revokes every session and token of the user."""
        found = self.find_user()
        users.authorize_on(self.actor, Action.UPDATE, found)
        users.change_password(self.actor, found, **self.read_body())
        return Response(status=204)

    @extend_schema(operation_id="suspend_user")
    def suspend(self, request: Request, user: str) -> Response:
        """Suspend a user. Their sessions and tokens stop working at once."""
        return self.respond(users.suspend(self.actor, self.find_user()))

    @extend_schema(operation_id="activate_user")
    def activate(self, request: Request, user: str) -> Response:
        """Reactivate a suspended user."""
        return self.respond(users.activate(self.actor, self.find_user()))

    @extend_schema(operation_id="user_roles")
    def roles(self, request: Request, user: str) -> Response:
        """Return the site roles of a user, and their roles in organizations that are visible to the caller."""
        found = self.find_user()
        shown = {row.pk for row in visible_organizations(self.actor)}
        organizations = {
            str(row.organization_id): row.roles for row in found.memberships.all() if row.organization_id in shown
        }
        return self.respond({"roles": found.site_roles, "organization_roles": organizations})

    @extend_schema(operation_id="update_user_roles")
    def update_roles(self, request: Request, user: str) -> Response:
        """Replace the site roles of a user."""
        found = self.find_user()
        authorize(self.actor, Action.UPDATE, Resource.USER)
        return self.respond(users.set_site_roles(self.actor, found, self.read_body()["roles"]))

    @extend_schema(operation_id="user_login_type")
    def login_type(self, request: Request, user: str) -> Response:
        """Return the login type of the caller. Newer clients read it."""
        found = self.find_user()
        if found.pk != self.actor.id:
            raise Forbidden
        return self.respond({"login_type": found.login_type})


def organizations_named(actor: Actor, body: dict[str, Any]) -> list[Organization]:
    """Return the organizations in the body, or the default one. Raises NotFound naming the field."""
    single = body.get("organization_id")
    wanted = {single} if single else {organization for organization in body["organization_ids"] if organization}
    if not wanted:
        return [find_organization(actor, DEFAULT)]
    found = list(visible_organizations(actor).filter(pk__in=wanted))
    if len(found) < len(wanted):
        field = "organization_id" if single else "organization_ids"
        raise NotFound("Organization does not exist.", problems=(Problem(field, "No such organization."),))
    return found
