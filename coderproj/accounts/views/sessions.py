"""First user, sign-in and sign-out."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.accounts.serializers.users import FirstUserAnswer, FirstUserBody, LoginAnswer, LoginBody
from coderproj.api.authentication import set_session_cookie
from coderproj.api.schema import ConfirmationSerializer
from coderproj.api.throttling import LoginThrottle
from coderproj.api.viewsets import ApiViewSet, PublicViewSet
from coderproj.base.errors import NotFound
from coderproj.identity import services
from coderproj.identity.authentication import SESSION_COOKIE, client_of


class SignInViewSet(PublicViewSet):
    """Endpoints for callers without a session: first user and sign-in."""

    serializer_classes = {"create_first_user": FirstUserAnswer, "log_in": LoginAnswer}
    body_classes = {"create_first_user": FirstUserBody, "log_in": LoginBody}
    action_throttles = {"log_in": (LoginThrottle,)}

    @extend_schema(operation_id="first_user", responses={200: ConfirmationSerializer})
    def first_user(self, request: Request) -> Response:
        """Return 200 if the first user exists, else 404. Public, because no user can sign in before."""
        if not services.first_user_exists():
            raise NotFound("The initial user has not been created!")
        return self.confirm("The initial user has already been created!")

    @extend_schema(operation_id="create_first_user", responses={201: FirstUserAnswer})
    def create_first_user(self, request: Request) -> Response:
        """Create the first user, an owner. Public, because no user can sign in before."""
        user, organization = services.create_first_user(**self.read_body(), client=client_of(request._request))
        return self.respond({"user_id": user.pk, "organization_id": organization.pk}, status=201)

    @extend_schema(operation_id="login", responses={201: LoginAnswer})
    def log_in(self, request: Request) -> Response:
        """Sign in. Public, because the caller has no session yet."""
        _, token = services.log_in(**self.read_body(), client=client_of(request._request))
        response = self.respond({"session_token": token}, status=201)
        set_session_cookie(request._request, response, token)
        return response


class SessionViewSet(ApiViewSet):
    """The session of the request."""

    @extend_schema(operation_id="logout", responses={200: ConfirmationSerializer})
    def log_out(self, request: Request) -> Response:
        """Revoke the session or token of the request."""
        services.log_out(self.actor)
        response = self.confirm("Logged out!")
        response.delete_cookie(SESSION_COOKIE, path="/", samesite="Lax")
        return response
