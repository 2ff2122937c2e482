"""Base classes of identity's viewsets."""

from typing import Any

from coderproj.accounts.serializers.users import UserSerializer, user_context
from coderproj.api.viewsets import ApiViewSet, SerializerClass
from coderproj.identity.models import Organization, User
from coderproj.identity.organizations import find_organization
from coderproj.identity.users import find_user


class OfUser(ApiViewSet):
    """A resource at or below ``/users/{user}``, where ``{user}`` is ``me``, an id or a username in any case."""

    serializer_class: SerializerClass | None = UserSerializer

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), **user_context(self.actor)}

    def find_user(self) -> User:
        """Return the visible user. Raises UnknownUser (400)."""
        return find_user(self.actor, self.kwargs["user"])


class OfOrganization(ApiViewSet):
    """A resource at or below ``/organizations/{organization}``: an id, a name or ``default``."""

    def find_organization(self) -> Organization:
        """Return the visible organization. Raises NotFound."""
        return find_organization(self.actor, self.kwargs["organization"])
