"""Serializers of identity."""

from coderproj.accounts.serializers.organizations import OrganizationSerializer
from coderproj.accounts.serializers.users import RoleSerializer, UserSerializer, role_list

__all__ = ["OrganizationSerializer", "RoleSerializer", "UserSerializer", "role_list"]
