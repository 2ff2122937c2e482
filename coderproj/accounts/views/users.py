"""Users: list, create, read, change, suspend, delete."""

from typing import Any

from drf_spectacular.utils import extend_schema
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
    UserSerializer,
    user_context,
)
from coderproj.accounts.views.base import OfUser
from coderproj.api.pagination import page_of
from coderproj.api.schema import PAGE_PARAMETERS, ConfirmationSerializer
from coderproj.api.throttling import ApiThrottle, LoginThrottle
from coderproj.api.views import ApiView
from coderproj.base import filtering
from coderproj.base.errors import DomainError, Forbidden, NotFound, Problem
from coderproj.identity import users
from coderproj.identity.filters import UserFilter, search_users
from coderproj.identity.models import Organization
from coderproj.identity.organizations import DEFAULT, find_organization, visible_organizations
from coderproj.identity.rbac import ROLES, Action, Resource, assignable_roles, authorize
from coderproj.identity.roles import SiteRole


class UsersView(ApiView):
    """List the visible users, oldest first; create a user."""

    @extend_schema(
        operation_id="users",
        parameters=[*filtering.parameters(UserFilter), *PAGE_PARAMETERS],
        responses={200: UsersAnswer},
    )
    def get(self, request: Request) -> Response:
        page = page_of(request.query_params)
        found = search_users(self.actor, request.query_params)
        count = found.count()
        rows = found.order_by("created_at", "id")
        if page.after_id:
            cursor = users.visible_users(self.actor).filter(pk=page.after_id).first()
            if cursor is None:
                raise DomainError(
                    'Record at "after_id" does not exist.', problems=(Problem("after_id", "No such user."),)
                )
            rows = rows.after(cursor)
        end = page.offset + page.limit if page.limit else None
        rows = rows.prefetch_related("memberships")[page.offset : end]
        shown = UserSerializer(rows, many=True, context=user_context(self.actor)).data
        return Response({"users": shown, "count": count})

    @extend_schema(operation_id="create_user", request=CreateUserBody, responses={201: UserSerializer})
    def post(self, request: Request) -> Response:
        authorize(self.actor, Action.CREATE, Resource.USER)
        body = self.body(CreateUserBody)
        user = users.create_user(
            self.actor,
            username=body["username"],
            email=body["email"],
            password=body["password"] if body["can_sign_in"] else None,
            organizations=self._organizations(body),
            name=body["name"],
            avatar_url=body["avatar_url"],
        )
        return Response(UserSerializer(user, context=user_context(self.actor)).data, status=201)

    def _organizations(self, body: dict[str, Any]) -> list[Organization]:
        """Return the organizations in the body, or the default one. Raises NotFound naming the field."""
        single = body.get("organization_id")
        wanted = {single} if single else {organization for organization in body["organization_ids"] if organization}
        if not wanted:
            return [find_organization(self.actor, DEFAULT)]
        found = list(visible_organizations(self.actor).filter(pk__in=wanted))
        if len(found) < len(wanted):
            field = "organization_id" if single else "organization_ids"
            raise NotFound("Organization does not exist.", problems=(Problem(field, "No such organization."),))
        return found


class SiteRolesView(ApiView):
    """The site roles, and which of them the caller may assign."""

    @extend_schema(operation_id="site_roles", responses={200: AssignableRoleSerializer(many=True)})
    def get(self, request: Request) -> Response:
        authorize(self.actor, Action.READ, Resource.ASSIGN_ROLE)
        assignable = assignable_roles(self.actor)
        return Response(
            [
                {"name": name, "display_name": ROLES[name].display_name, "assignable": name in assignable}
                for name in SiteRole.values
            ]
        )


class UserView(OfUser):
    @extend_schema(operation_id="user", responses={200: UserSerializer})
    def get(self, request: Request, user: str) -> Response:
        """Return a user by id, by username, or as ``me``."""
        return Response(self.show(self.find_user()))

    @extend_schema(operation_id="delete_user", responses={200: ConfirmationSerializer})
    def delete(self, request: Request, user: str) -> Response:
        """Delete a user. The username and e-mail address become available again."""
        users.delete(self.actor, self.find_user())
        return self.answer("User has been deleted!")


class ProfileView(OfUser):
    @extend_schema(operation_id="update_user_profile", request=ProfileBody, responses={200: UserSerializer})
    def put(self, request: Request, user: str) -> Response:
        """Change a user's username, full name or avatar."""
        found = self.find_user()
        users.authorize_on(self.actor, Action.UPDATE, found)
        return Response(self.show(users.update_profile(self.actor, found, self.body(ProfileBody))))


class PasswordView(OfUser):
    """Change a password. This revokes every session and token of the user."""

    throttle_classes = (ApiThrottle, LoginThrottle)

    @extend_schema(operation_id="update_user_password", request=PasswordBody, responses={204: None})
    def put(self, request: Request, user: str) -> Response:
        found = self.find_user()
        users.authorize_on(self.actor, Action.UPDATE, found)
        users.change_password(self.actor, found, **self.body(PasswordBody))
        return Response(status=204)


class SuspendView(OfUser):
    @extend_schema(operation_id="suspend_user", request=None, responses={200: UserSerializer})
    def put(self, request: Request, user: str) -> Response:
        """Suspend a user. Their sessions and tokens stop working at once."""
        return Response(self.show(users.suspend(self.actor, self.find_user())))


class ActivateView(OfUser):
    @extend_schema(operation_id="activate_user", request=None, responses={200: UserSerializer})
    def put(self, request: Request, user: str) -> Response:
        """Reactivate a suspended user."""
        return Response(self.show(users.activate(self.actor, self.find_user())))


class UserRolesView(OfUser):
    """Read and set the site roles of a user; also read their organization roles."""

    @extend_schema(operation_id="user_roles", responses={200: UserRolesAnswer})
    def get(self, request: Request, user: str) -> Response:
        found = self.find_user()
        shown = {row.pk for row in visible_organizations(self.actor)}
        organizations = {
            str(row.organization_id): row.roles for row in found.memberships.all() if row.organization_id in shown
        }
        return Response({"roles": found.site_roles, "organization_roles": organizations})

    @extend_schema(operation_id="update_user_roles", request=RolesBody, responses={200: UserSerializer})
    def put(self, request: Request, user: str) -> Response:
        found = self.find_user()
        authorize(self.actor, Action.UPDATE, Resource.USER)
        return Response(self.show(users.set_site_roles(self.actor, found, self.body(RolesBody)["roles"])))


class LoginTypeView(OfUser):
    """The login type of the caller. Newer clients read it."""

    @extend_schema(operation_id="user_login_type", responses={200: LoginTypeAnswer})
    def get(self, request: Request, user: str) -> Response:
        found = self.find_user()
        if found.pk != self.actor.id:
            raise Forbidden
        return Response({"login_type": found.login_type})
