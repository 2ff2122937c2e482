"""Models of users, organizations, groups, tokens and the audit log."""

from coderproj.identity.models.audit import AuditAction, AuditLog
from coderproj.identity.models.git_keys import GitSSHKey
from coderproj.identity.models.keys import ApiKey, KeyScope, LoginType, SuspendedKey
from coderproj.identity.models.organizations import (
    EVERYONE,
    MAX_ALLOWANCE,
    Group,
    GroupMembership,
    Membership,
    Organization,
)
from coderproj.identity.models.users import User, UserLogin, UserStatus

__all__ = [
    "EVERYONE",
    "MAX_ALLOWANCE",
    "ApiKey",
    "AuditAction",
    "AuditLog",
    "GitSSHKey",
    "Group",
    "GroupMembership",
    "KeyScope",
    "LoginType",
    "Membership",
    "Organization",
    "SuspendedKey",
    "User",
    "UserLogin",
    "UserStatus",
]
