"""Permission classes of views. Finer rules are in ``identity.rbac`` and the querysets."""

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from coderproj.identity.actor import Actor

if TYPE_CHECKING:  # circular import: REST framework's views load these classes
    from rest_framework.views import APIView


class SignedIn(BasePermission):
    """Any active user with a valid token."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return isinstance(request.user, Actor)


class Public(BasePermission):
    """Any caller, signed in or not. The view's docstring must give the reason."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return True
