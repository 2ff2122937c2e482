"""API tokens and session keys. Only the response to the creation contains the secret."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.accounts.serializers.keys import GitSSHKeySerializer, KeyAnswer, KeySerializer, TokenBody
from coderproj.accounts.views.base import OfUser
from coderproj.base.errors import Invalid
from coderproj.identity import git_keys, services
from coderproj.identity.models import KeyScope, LoginType

NANOSECONDS = 10**9
SESSION_KEY_SECONDS = 7 * 24 * 3600


class TokensView(OfUser):
    """API tokens of a user."""

    @extend_schema(operation_id="tokens", responses={200: KeySerializer(many=True)})
    def get(self, request: Request, user: str) -> Response:
        return Response(KeySerializer(services.list_tokens(self.actor, self.find_user()), many=True).data)

    @extend_schema(operation_id="create_token", request=TokenBody, responses={201: KeyAnswer})
    def post(self, request: Request, user: str) -> Response:
        found = self.find_user()
        body = self.body(TokenBody)
        token = services.create_token(
            self.actor,
            user=found,
            lifetime_seconds=lifetime_of(body["lifetime_seconds"], body["lifetime"]),
            scope=KeyScope(body["scope"] or KeyScope.ALL),
            name=body["token_name"],
        )
        return Response({"key": token}, status=201)


def lifetime_of(seconds: int, nanoseconds: int) -> int:
    """Return the requested lifetime in seconds; 0 in both means the default. Raises Invalid above the limit and
    below one second."""
    field = "lifetime_seconds" if seconds else "lifetime"
    lifetime = seconds or nanoseconds // NANOSECONDS
    if nanoseconds and not lifetime:
        raise Invalid.field(field, "Must be at least one second (1000000000 nanoseconds).")
    return services.token_lifetime(lifetime, field=field)


class GitSSHKeyView(OfUser):
    """The SSH key that the user's workspaces use for git hosts; created on first use."""

    @extend_schema(operation_id="git_ssh_key", responses={200: GitSSHKeySerializer})
    def get(self, request: Request, user: str) -> Response:
        return Response(GitSSHKeySerializer(git_keys.git_ssh_key(self.actor, self.find_user())).data)

    @extend_schema(operation_id="regenerate_git_ssh_key", request=None, responses={200: GitSSHKeySerializer})
    def put(self, request: Request, user: str) -> Response:
        return Response(GitSSHKeySerializer(git_keys.regenerate_git_ssh_key(self.actor, self.find_user())).data)


class KeysView(OfUser):
    """Session keys of a user, for command-line clients."""

    @extend_schema(operation_id="create_session_key", request=None, responses={201: KeyAnswer})
    def post(self, request: Request, user: str) -> Response:
        token = services.create_token(
            self.actor,
            user=self.find_user(),
            lifetime_seconds=SESSION_KEY_SECONDS,
            login_type=LoginType.PASSWORD,
        )
        return Response({"key": token}, status=201)


class KeyView(OfUser):
    """A session key or token by id."""

    @extend_schema(operation_id="key", responses={200: KeySerializer})
    def get(self, request: Request, user: str, key: str) -> Response:
        return Response(KeySerializer(services.find_key(self.actor, self.find_user(), key_id=key)).data)

    @extend_schema(operation_id="delete_key", responses={204: None})
    def delete(self, request: Request, user: str, key: str) -> Response:
        services.revoke_key(self.actor, services.find_key(self.actor, self.find_user(), key_id=key))
        return Response(status=204)


class TokenByNameView(OfUser):
    """A token by name, case-sensitive."""

    @extend_schema(operation_id="token_by_name", responses={200: KeySerializer})
    def get(self, request: Request, user: str, name: str) -> Response:
        return Response(KeySerializer(services.find_key(self.actor, self.find_user(), name=name)).data)
