"""How identity looks on the wire."""

from coderproj.identity.serializers.organizations import OrganizationSerializer
from coderproj.identity.serializers.users import RoleSerializer, UserSerializer, role_list

__all__ = ["OrganizationSerializer", "RoleSerializer", "UserSerializer", "role_list"]
