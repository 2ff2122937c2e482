"""The names of roles. What a role may do is in ``rbac.py``."""

from django.db import models


class SiteRole(models.TextChoices):
    OWNER = "owner", "Owner"
    TEMPLATE_ADMIN = "template-admin", "Template Admin"
    USER_ADMIN = "user-admin", "User Admin"
    AUDITOR = "auditor", "Auditor"


class OrganizationRole(models.TextChoices):
    ADMIN = "organization-admin", "Organization Admin"


# Roles that everybody holds without a row: every active user, every member of an organization.
MEMBER = "member"
ORGANIZATION_MEMBER = "organization-member"
