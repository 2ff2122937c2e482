"""How daemons without database access are known: by a key in a header of its own, and by nothing else."""

from typing import TYPE_CHECKING

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from coderproj.api.throttling import ApiThrottle
from provisioning.keys import KeyHolder, authenticate
from provisioning.protocol.wire import KEY_HEADER

if TYPE_CHECKING:  # importing it here would be circular: it loads these classes
    from rest_framework.views import APIView

KEY_META = f"HTTP_{KEY_HEADER.upper().replace('-', '_')}"


class KeyAuthentication(BaseAuthentication):
    """Reads the header; session tokens and cookies are not looked at."""

    def authenticate(self, request: Request) -> tuple[KeyHolder, None]:
        return authenticate(request.META.get(KEY_META, "")), None

    def authenticate_header(self, request: Request) -> str:
        return KEY_HEADER


class WithDaemonKey(BasePermission):
    """Any daemon whose key counts."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return isinstance(request.user, KeyHolder)


class WrongKeyThrottle(ApiThrottle):
    """Daemons may say as much as their jobs do; only who shows no key that counts is limited, by address."""

    name = "provisioner-key"

    def allow_request(self, request: Request, view: "APIView") -> bool:
        return isinstance(request.user, KeyHolder) or super().allow_request(request, view)

    def path_of(self, request: Request) -> str:
        return ""
