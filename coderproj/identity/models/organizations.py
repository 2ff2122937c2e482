"""Organizations, their members and their groups."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower

from coderproj.identity.models.users import User
from coderproj.identity.roles import OrganizationRole

# The group of all members of an organization. It has the organization's id and no membership rows.
EVERYONE = "Everyone"
# Of a group, in credits a day: what clients can read, which have 32 bits for it.
MAX_ALLOWANCE = 2**31 - 1


class OrganizationQuerySet(models.QuerySet["Organization"]):
    def existing(self) -> "OrganizationQuerySet":
        """Return the organizations that are not deleted."""
        return self.filter(deleted=False)


class Organization(models.Model):
    """A tenant. Each template, group and job belongs to exactly one organization. Deleting keeps the row, for the jobs
    and deleted templates of the organization, but frees the name."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64)
    display_name = models.CharField(max_length=64, blank=True, default="")
    description = models.CharField(max_length=256, blank=True, default="")
    icon = models.CharField(max_length=256, blank=True, default="")
    is_default = models.BooleanField(default=False)
    deleted = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    members = models.ManyToManyField(User, through="Membership", related_name="organizations")

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                Lower("name"), condition=models.Q(deleted=False), name="identity_organization_name_unique"
            ),
            models.UniqueConstraint(
                fields=["is_default"],
                condition=models.Q(is_default=True),
                name="identity_organization_one_default",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A user in an organization, with their roles in addition to the implicit ``organization-member``."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    roles = ArrayField(models.CharField(max_length=32, choices=OrganizationRole.choices), default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["organization", "user"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="identity_membership_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization}"


class Group(models.Model):
    """A set of members of an organization, for access to templates and quota."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64)
    display_name = models.CharField(max_length=64, blank=True, default="")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="groups")
    avatar_url = models.CharField(max_length=1024, blank=True, default="")
    # Credits a day for the workspaces of each member.
    quota_allowance = models.IntegerField(
        default=0, validators=[MinValueValidator(0), MaxValueValidator(MAX_ALLOWANCE)]
    )
    members = models.ManyToManyField(User, through="GroupMembership", related_name="+", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "name"], name="identity_group_name_unique"),
            models.CheckConstraint(
                condition=models.Q(quota_allowance__gte=0), name="identity_group_quota_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_everyone(self) -> bool:
        return self.id == self.organization_id


class GroupMembership(models.Model):
    """A user in a group. Rows exist only for explicit groups, never for ``Everyone``."""

    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="group_memberships")

    class Meta:
        ordering = ["group", "user"]
        constraints = [
            models.UniqueConstraint(fields=["group", "user"], name="identity_groupmembership_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.group}"
