"""Sign-in of agents with the identity of their machine, which this server does not offer."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.schema import ErrorSerializer
from coderproj.api.viewsets import PublicViewSet
from coderproj.base.errors import SignInRequired


class IdentityNotVerified(SignInRequired):
    message = "This server does not verify identities of machines."

    def __init__(self) -> None:
        super().__init__(detail='Use agents with auth = "token", whose token the template passes to the machine.')


REFUSED = {401: ErrorSerializer}


class InstanceIdentityViewSet(PublicViewSet):
    """Signed documents of clouds about their machines."""

    @extend_schema(operation_id="authenticate_agent_on_azure", request=None, responses=REFUSED)
    def azure(self, request: Request) -> Response:
        """Refuse the document. Public, because agents have no token yet; nothing is read and nothing given away."""
        raise IdentityNotVerified

    @extend_schema(operation_id="authenticate_agent_on_aws", request=None, responses=REFUSED)
    def aws(self, request: Request) -> Response:
        """Refuse the document. Public, because agents have no token yet; nothing is read and nothing given away."""
        raise IdentityNotVerified

    @extend_schema(operation_id="authenticate_agent_on_google", request=None, responses=REFUSED)
    def google(self, request: Request) -> Response:
        """Refuse the document. Public, because agents have no token yet; nothing is read and nothing given away."""
        raise IdentityNotVerified
