"""Base classes of identity's views."""

from typing import Any

from coderproj.accounts.serializers.users import UserSerializer, user_context
from coderproj.api.views import ApiView
from coderproj.identity.models import Organization, User
from coderproj.identity.organizations import find_organization
from coderproj.identity.users import find_user


class OfUser(ApiView):
    """A view below ``/users/{user}``, where ``{user}`` is ``me``, an id or a username in any case."""

    def find_user(self) -> User:
        """Return the visible user. Raises UnknownUser (400)."""
        return find_user(self.actor, self.kwargs["user"])

    def show(self, user: User) -> dict[str, Any]:
        return UserSerializer(user, context=user_context(self.actor)).data


class OfOrganization(ApiView):
    """A view below ``/organizations/{organization}``: an id, a name or ``default``."""

    def find_organization(self) -> Organization:
        """Return the visible organization. Raises NotFound."""
        return find_organization(self.actor, self.kwargs["organization"])
