"""What a view declares about who may call it. Finer rules are in ``identity.rbac`` and the querysets."""

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from coderproj.identity.actor import Actor

if TYPE_CHECKING:  # importing it here would be circular: it loads these classes
    from rest_framework.views import APIView


class SignedIn(BasePermission):
    """Any active user with a valid token."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return isinstance(request.user, Actor)


class Public(BasePermission):
    """Everybody, signed in or not. Say why in the view's docstring."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return True
