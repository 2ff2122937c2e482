"""Endpoints of users, organizations and sessions."""

from django.conf import settings
from django.http import HttpRequest
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.authentication import SESSION_COOKIE, client_of
from coderproj.api.identifiers import parse_uuid
from coderproj.api.permissions import Public
from coderproj.api.schema import ConfirmationSerializer
from coderproj.api.views import ApiView
from coderproj.errors import DomainError, Invalid, NotFound
from coderproj.identity import services
from coderproj.identity.actor import Actor
from coderproj.identity.models import KeyScope, LoginType, User
from coderproj.identity.organizations import find_organization, visible_organizations
from coderproj.identity.serializers import (
    FirstUserAnswer,
    FirstUserBody,
    KeyAnswer,
    LoginAnswer,
    LoginBody,
    OrganizationSerializer,
    TokenBody,
    UserSerializer,
)

ME = "me"
NANOSECONDS = 10**9
SESSION_KEY_SECONDS = 7 * 24 * 3600


def find_user(actor: Actor, reference: str) -> User:
    """The user that a path names: ``me``, an id or a username in any case.

    Raises DomainError (400, by contract) for one that does not exist, NotFound for one that the actor may not see:
    a member sees the members of their organizations.
    """
    users = User.objects.existing().prefetch_related("memberships")
    if reference == ME:
        return users.get(pk=actor.id)
    user_id = parse_uuid(reference)
    user = users.filter(pk=user_id).first() if user_id else users.filter(username__iexact=reference).first()
    if user is None:
        raise DomainError(f'User {reference[:64]!r} must be "me", an existing id or an existing username.')
    return user


class FirstUserView(ApiView):
    """Whether the deployment was set up, and setting it up. Public: nobody can sign in before."""

    permission_classes = (Public,)
    authentication_classes = ()

    @extend_schema(operation_id="first_user", responses={200: ConfirmationSerializer})
    def get(self, request: Request) -> Response:
        if not services.first_user_exists():
            raise NotFound("The initial user has not been created!")
        return self.answer("The initial user has already been created!")

    @extend_schema(operation_id="create_first_user", request=FirstUserBody, responses={201: FirstUserAnswer})
    def post(self, request: Request) -> Response:
        body = self.body(FirstUserBody)
        user, organization = services.create_first_user(**body, client=client_of(request._request))
        return Response({"user_id": str(user.pk), "organization_id": str(organization.pk)}, status=201)


class LoginView(ApiView):
    """Signing in. Public by its nature."""

    permission_classes = (Public,)
    authentication_classes = ()

    @extend_schema(operation_id="login", request=LoginBody, responses={201: LoginAnswer})
    def post(self, request: Request) -> Response:
        body = self.body(LoginBody)
        _, token = services.log_in(**body, client=client_of(request._request))
        response = Response({"session_token": token}, status=201)
        set_session_cookie(request._request, response, token)
        return response


def set_session_cookie(request: HttpRequest, response: Response, token: str) -> None:
    """Let a browser carry the session."""
    response.set_cookie(
        SESSION_COOKIE,
        token,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=settings.SECURE or request.is_secure(),
    )


class LogoutView(ApiView):
    @extend_schema(operation_id="logout", request=None, responses={200: ConfirmationSerializer})
    def post(self, request: Request) -> Response:
        services.log_out(self.actor)
        response = self.answer("Logged out!")
        response.delete_cookie(SESSION_COOKIE, path="/", samesite="Lax")
        return response


class UserView(ApiView):
    @extend_schema(operation_id="user", responses={200: UserSerializer})
    def get(self, request: Request, user: str) -> Response:
        return Response(UserSerializer(find_user(self.actor, user)).data)


class UserOrganizationsView(ApiView):
    """The organizations of a user, as far as the caller may see them, the default one first."""

    @extend_schema(operation_id="user_organizations", responses={200: OrganizationSerializer(many=True)})
    def get(self, request: Request, user: str) -> Response:
        found = find_user(self.actor, user)
        organizations = visible_organizations(self.actor).filter(memberships__user=found)
        return Response(OrganizationSerializer(organizations.order_by("-is_default", "created_at"), many=True).data)


class TokensView(ApiView):
    """API tokens of a user."""

    @extend_schema(operation_id="create_token", request=TokenBody, responses={201: KeyAnswer})
    def post(self, request: Request, user: str) -> Response:
        body = self.body(TokenBody)
        seconds = body["lifetime_seconds"] or body["lifetime"] // NANOSECONDS or settings.TOKEN_LIFETIME_SECONDS
        if seconds > settings.TOKEN_MAX_LIFETIME_SECONDS:
            field = "lifetime_seconds" if body["lifetime_seconds"] else "lifetime"
            raise Invalid.field(field, f"Must be at most {settings.TOKEN_MAX_LIFETIME_SECONDS} seconds.")
        token = services.create_token(
            self.actor,
            user=find_user(self.actor, user),
            lifetime_seconds=seconds,
            scope=KeyScope(body["scope"] or KeyScope.ALL),
            name=body["token_name"],
        )
        return Response({"key": token}, status=201)


class KeysView(ApiView):
    """Session keys of a user, for command lines."""

    @extend_schema(operation_id="create_session_key", request=None, responses={201: KeyAnswer})
    def post(self, request: Request, user: str) -> Response:
        token = services.create_token(
            self.actor,
            user=find_user(self.actor, user),
            lifetime_seconds=SESSION_KEY_SECONDS,
            login_type=LoginType.PASSWORD,
        )
        return Response({"key": token}, status=201)


class OrganizationView(ApiView):
    @extend_schema(operation_id="organization", responses={200: OrganizationSerializer})
    def get(self, request: Request, organization: str) -> Response:
        return Response(OrganizationSerializer(find_organization(self.actor, organization)).data)


class OrganizationsView(ApiView):
    @extend_schema(operation_id="organizations", responses={200: OrganizationSerializer(many=True)})
    def get(self, request: Request) -> Response:
        organizations = visible_organizations(self.actor).order_by("-is_default", "name")
        return Response(OrganizationSerializer(organizations, many=True).data)
