"""API tokens and session keys. Only the response to the creation contains the secret."""

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.accounts.serializers.keys import (
    GitSSHKeySerializer,
    KeyAnswer,
    KeySerializer,
    TokenBody,
    TokenLimitsAnswer,
)
from coderproj.accounts.views.base import OfUser
from coderproj.base.errors import Invalid
from coderproj.identity import git_keys, services
from coderproj.identity.filters import TokenFilter
from coderproj.identity.models import ApiKey, KeyScope, LoginType

NANOSECONDS = 10**9
SESSION_KEY_SECONDS = 7 * 24 * 3600


class TokenViewSet(OfUser):
    """API tokens of a user."""

    serializer_class = KeySerializer
    serializer_classes = {"create": KeyAnswer, "limits": TokenLimitsAnswer}
    body_classes = {"create": TokenBody}
    filterset_class = TokenFilter

    def get_queryset(self) -> QuerySet[ApiKey]:
        """Return the user's tokens, oldest first. Raises NotFound for another user's tokens, and UnknownUser."""
        return services.list_tokens(self.actor, self.find_user())

    @extend_schema(operation_id="tokens")
    def list(self, request: Request, user: str) -> Response:
        """List the API tokens of a user, oldest first."""
        return self.respond(self.filter_queryset(self.get_queryset()), many=True)

    @extend_schema(operation_id="token_limits")
    def limits(self, request: Request, user: str) -> Response:
        """Return how long a new token may live at most. Command lines ask before they create one."""
        self.find_user()
        return self.respond({"max_token_lifetime": settings.TOKEN_MAX_LIFETIME_SECONDS * NANOSECONDS})

    @extend_schema(operation_id="create_token")
    def create(self, request: Request, user: str) -> Response:
        """Create an API token. Only this response contains it."""
        found = self.find_user()
        body = self.read_body()
        token = services.create_token(
            self.actor,
            user=found,
            lifetime_seconds=lifetime_of(body["lifetime_seconds"], body["lifetime"]),
            scope=KeyScope(body["scope"] or KeyScope.ALL),
            name=body["token_name"],
        )
        return self.respond({"key": token}, status=201)

    @extend_schema(operation_id="token_by_name")
    def retrieve(self, request: Request, user: str, name: str) -> Response:
        """Return a token by name, case-sensitive."""
        return self.respond(services.find_key(self.actor, self.find_user(), name=name))


def lifetime_of(seconds: int, nanoseconds: int) -> int:
    """Return the requested lifetime in seconds; 0 in both means the default. Raises Invalid above the limit and
    below one second."""
    field = "lifetime_seconds" if seconds else "lifetime"
    lifetime = seconds or nanoseconds // NANOSECONDS
    if nanoseconds and not lifetime:
        raise Invalid.field(field, "Must be at least one second (1000000000 nanoseconds).")
    return services.token_lifetime(lifetime, field=field)


class KeyViewSet(OfUser):
    """Session keys and API tokens of a user, by id."""

    serializer_class = KeySerializer
    serializer_classes = {"create": KeyAnswer}

    @extend_schema(operation_id="create_session_key")
    def create(self, request: Request, user: str) -> Response:
        """Create a session key for a command-line client. Only this response contains it."""
        token = services.create_token(
            self.actor,
            user=self.find_user(),
            lifetime_seconds=SESSION_KEY_SECONDS,
            login_type=LoginType.PASSWORD,
        )
        return self.respond({"key": token}, status=201)

    @extend_schema(operation_id="key")
    def retrieve(self, request: Request, user: str, key: str) -> Response:
        """Return a session key or token by id."""
        return self.respond(services.find_key(self.actor, self.find_user(), key_id=key))

    @extend_schema(operation_id="delete_key", responses={204: None})
    def destroy(self, request: Request, user: str, key: str) -> Response:
        """Revoke a session key or token by id."""
        services.revoke_key(self.actor, services.find_key(self.actor, self.find_user(), key_id=key))
        return Response(status=204)


class GitSSHKeyViewSet(OfUser):
    """The SSH key of a user."""

    serializer_class = GitSSHKeySerializer

    @extend_schema(operation_id="git_ssh_key")
    def retrieve(self, request: Request, user: str) -> Response:
        """Return the SSH key that the user's workspaces use for git hosts; created on first use."""
        return self.respond(git_keys.git_ssh_key(self.actor, self.find_user()))

    @extend_schema(operation_id="regenerate_git_ssh_key")
    def regenerate(self, request: Request, user: str) -> Response:
        """Replace the SSH key that the user's workspaces use for git hosts."""
        return self.respond(git_keys.regenerate_git_ssh_key(self.actor, self.find_user()))
