"""The authentication backend for email address and password, used by pages and the API."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from coderproj.identity.limits import password_attempt_allowed
from coderproj.identity.models import User


class PasswordBackend(BaseBackend):
    """Authenticates existing, active users. An unknown address takes the same time as a wrong password.

    Pages pass ``request``, so their attempts are counted here; the API counts its own. Raises PermissionDenied over the
    rate limit, which Django treats like a wrong password.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **credentials: Any,
    ) -> User | None:
        if request is not None and not password_attempt_allowed(request):
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
