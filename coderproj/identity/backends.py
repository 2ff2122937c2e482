"""Signing in with e-mail address and password, for the pages and the API alike."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from coderproj.identity.limits import may_try_password
from coderproj.identity.models import User


class PasswordBackend(BaseBackend):
    """An existing, active user with the right password. An unknown address costs the same time as a wrong password.

    ``request`` is given by pages, whose tries are counted here; the API counts its own. Raises PermissionDenied over
    the rate limit, which ends the attempt like a wrong password.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **credentials: Any,
    ) -> User | None:
        if request is not None and not may_try_password(request):
            make_password(password)
            raise PermissionDenied
        email = username or credentials.get("email") or ""
        user = User.objects.existing().filter(email__iexact=email).first()
        if user is None:
            make_password(password)
            return None
        return user if user.check_password(password or "") and user.is_active else None

    def get_user(self, user_id: Any) -> User | None:
        user = User.objects.existing().filter(pk=user_id).first()
        return user if user is not None and user.is_active else None
