"""The names of roles. ``rbac.py`` defines their permissions."""

from django.db import models


class SiteRole(models.TextChoices):
    OWNER = "owner", "Owner"
    TEMPLATE_ADMIN = "template-admin", "Template Admin"
    USER_ADMIN = "user-admin", "User Admin"
    AUDITOR = "auditor", "Auditor"


class OrganizationRole(models.TextChoices):
    ADMIN = "organization-admin", "Organization Admin"


# Implicit roles without a row: of every active user, and of every member of an organization.
MEMBER = "member"
ORGANIZATION_MEMBER = "organization-member"
