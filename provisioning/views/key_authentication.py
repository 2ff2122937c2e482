"""Authentication of daemons without database access: by a key in its own header, and by nothing else."""

from typing import TYPE_CHECKING

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from coderproj.api.throttling import ApiThrottle
from coderproj.base.errors import SignInRequired
from coderproj.web.callers import Environ
from provisioning.keys import KeyHolder, authenticate
from provisioning.protocol.wire import KEY_HEADER, MAX_LARGE_BYTES

if TYPE_CHECKING:  # a runtime import would be circular
    from rest_framework.views import APIView

KEY_META = f"HTTP_{KEY_HEADER.upper().replace('-', '_')}"


class KeyAuthentication(BaseAuthentication):
    """Authenticates by the key's header. Session tokens and cookies are ignored."""

    def authenticate(self, request: Request) -> tuple[KeyHolder, None]:
        return authenticate(request.META.get(KEY_META, "")), None

    def authenticate_header(self, request: Request) -> str:
        return KEY_HEADER


class WithDaemonKey(BasePermission):
    """Allows every daemon with a valid key."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return isinstance(request.user, KeyHolder)


class WrongKeyThrottle(ApiThrottle):
    """Limits requests without a valid key, by address. Requests of authenticated daemons are not limited."""

    name = "provisioner-key"

    def allow_request(self, request: Request, view: "APIView") -> bool:
        return isinstance(request.user, KeyHolder) or super().allow_request(request, view)

    def path_of(self, request: Request) -> str:
        return ""


class DaemonCallers:
    """Recognizes daemons by their keys. Threads are shared by address, because keys can be made up."""

    def key(self, environ: Environ) -> None:
        return None

    def allowance(self, environ: Environ) -> int:
        """Return the bytes of body that a daemon may send, 0 without a valid key."""
        key = environ.get(KEY_META, "")
        if not key:
            return 0
        try:
            authenticate(key)
        except SignInRequired:
            return 0
        return MAX_LARGE_BYTES


CALLER_SOURCES = [DaemonCallers()]
