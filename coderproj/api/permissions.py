"""What a view declares about who may call it. Finer rules are in ``identity.rbac`` and the querysets."""

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from coderproj.identity.actor import Actor


class SignedIn(BasePermission):
    """Any active user with a valid token."""

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002
        return isinstance(request.user, Actor)


class Public(BasePermission):
    """Everybody, signed in or not. Say why in the view's docstring."""

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002
        return True
