"""First user, sign-in and sign-out."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.accounts.serializers.users import FirstUserAnswer, FirstUserBody, LoginAnswer, LoginBody
from coderproj.api.authentication import set_session_cookie
from coderproj.api.permissions import Public
from coderproj.api.schema import ConfirmationSerializer
from coderproj.api.throttling import LoginThrottle
from coderproj.api.views import ApiView
from coderproj.base.errors import NotFound
from coderproj.identity import services
from coderproj.identity.authentication import SESSION_COOKIE, client_of


class FirstUserView(ApiView):
    """Check for the first user, and create it. Public, because no user can sign in before."""

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
    """Sign in. Public, because the caller has no session yet."""

    permission_classes = (Public,)
    authentication_classes = ()
    throttle_classes = (LoginThrottle,)

    @extend_schema(operation_id="login", request=LoginBody, responses={201: LoginAnswer})
    def post(self, request: Request) -> Response:
        body = self.body(LoginBody)
        _, token = services.log_in(**body, client=client_of(request._request))
        response = Response({"session_token": token}, status=201)
        set_session_cookie(request._request, response, token)
        return response


class LogoutView(ApiView):
    """Revoke the session or token of the request."""

    @extend_schema(operation_id="logout", request=None, responses={200: ConfirmationSerializer})
    def post(self, request: Request) -> Response:
        services.log_out(self.actor)
        response = self.answer("Logged out!")
        response.delete_cookie(SESSION_COOKIE, path="/", samesite="Lax")
        return response
