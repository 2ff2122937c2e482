"""The fields of users, organizations, groups and keys that the audit log records."""

from coderproj.identity.audit import Policy, Snapshot
from coderproj.identity.models import (
    ApiKey,
    GitSSHKey,
    Group,
    GroupMembership,
    Membership,
    Organization,
    User,
)


def _group_members(group: Group) -> Snapshot:
    members = GroupMembership.objects.filter(group=group).values_list("user_id", flat=True)
    return {"members": sorted(map(str, members))}


POLICIES = [
    Policy(
        User,
        "user",
        target="username",
        tracked=(
            "id",
            "username",
            "email",
            "name",
            "avatar_url",
            "status",
            "site_roles",
            "login_type",
            "is_service_account",
            "deleted",
        ),
        secret=("password",),
        ignored=("last_login", "last_seen_at", "created_at", "updated_at"),
    ),
    Policy(
        Organization,
        "organization",
        target="name",
        tracked=("id", "name", "display_name", "description", "icon", "is_default", "deleted"),
        ignored=("created_at", "updated_at"),
    ),
    Policy(
        Group,
        "group",
        target="name",
        tracked=("id", "name", "display_name", "organization_id", "avatar_url", "quota_allowance"),
        ignored=("created_at", "updated_at"),
        related=_group_members,
    ),
    Policy(
        Membership,
        "organization_member",
        target="user",
        identity="user_id",
        tracked=("organization_id", "user_id", "roles"),
        ignored=("id", "created_at", "updated_at"),
    ),
    Policy(
        GitSSHKey,
        "git_ssh_key",
        target="user_id",
        identity="user_id",
        tracked=("user_id", "public_key"),
        secret=("encrypted_private_key",),
        ignored=("created_at", "updated_at"),
    ),
    Policy(
        ApiKey,
        "api_key",
        target="id",
        identity="user_id",
        tracked=("id", "user_id", "name", "login_type", "scope", "lifetime_seconds"),
        secret=("hashed_secret",),
        ignored=("last_used", "ip_address", "expires_at", "created_at", "updated_at"),
    ),
]
