"""Templates, their versions, rich parameters and access lists."""

import uuid

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower

from coderproj.errors import DomainError
from coderproj.identity.models import Group, Organization
from provisioning.models import Provisioner, ProvisionerJob
from templates_app.querysets import TemplateQuerySet, TemplateVersionQuerySet


class Unverified(DomainError):
    """A version may be planned and never applied: stubs answered for some of what it is made of."""

    message = "The template version is unverified: it can be dry-run, and never be applied."


class Template(models.Model):
    """A named line of versions, one of them active. Deleting keeps the row; the name is free again at once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="templates")
    name = models.CharField(max_length=32)
    display_name = models.CharField(max_length=64, blank=True, default="")
    description = models.CharField(max_length=128, blank=True, default="")
    icon = models.CharField(max_length=256, blank=True, default="")
    provisioner = models.CharField(max_length=16, choices=Provisioner.choices)
    active_version = models.ForeignKey("TemplateVersion", on_delete=models.PROTECT, related_name="+")
    default_ttl_ms = models.BigIntegerField(default=0, validators=[MinValueValidator(0)])
    allow_user_cancel_workspace_jobs = models.BooleanField(default=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="templates")
    deleted = models.BooleanField(default=False)

    objects = TemplateQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                F("organization"),
                Lower("name"),
                condition=Q(deleted=False),
                name="templates_template_name_unique",
            ),
            models.CheckConstraint(condition=Q(default_ttl_ms__gte=0), name="templates_template_ttl_not_negative"),
        ]

    def __str__(self) -> str:
        return self.name


class TemplateVersion(models.Model):
    """One import of a folder of Terraform. Without a template until one is made from it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    template = models.ForeignKey(Template, on_delete=models.CASCADE, null=True, blank=True, related_name="versions")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="template_versions")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    name = models.CharField(max_length=64)
    message = models.CharField(max_length=1024, blank=True, default="")
    readme = models.TextField(blank=True, default="")
    job = models.OneToOneField(ProvisionerJob, on_delete=models.PROTECT, related_name="template_version")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="template_versions")
    archived = models.BooleanField(default=False)
    # Addresses of providers and sources of modules that could not be had and were answered for by stubs.
    unverified_providers = models.JSONField(default=list, blank=True)
    unverified_modules = models.JSONField(default=list, blank=True)

    objects = TemplateVersionQuerySet.as_manager()

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["template", "name"], name="templates_version_name_unique"),
        ]
        indexes = [
            models.Index(fields=["template", "created_at", "id"], name="templates_version_order"),
            models.Index(fields=["organization", "name"], name="templates_version_by_name"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_verified(self) -> bool:
        """Whether the import planned with the real providers and modules, all of them."""
        return not self.unverified_providers and not self.unverified_modules

    def require_verified(self) -> None:
        """To be called before anything of the version is applied.

        Raises Unverified when stubs answered at its import: they do not tell what it would do.
        """
        if not self.is_verified:
            missing = ", ".join([*self.unverified_providers, *self.unverified_modules])
            raise Unverified(detail=f"Stubs answered for {missing} when it was imported.")


class RichParameter(models.Model):
    """A ``coder_parameter`` of a version, in source order (``index``)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    template_version = models.ForeignKey(TemplateVersion, on_delete=models.CASCADE, related_name="rich_parameters")
    index = models.PositiveIntegerField()
    name = models.CharField(max_length=256)
    description = models.TextField(blank=True, default="")
    type = models.CharField(max_length=16)
    mutable = models.BooleanField(default=False)
    # None: the parameter has no default and must be given.
    default_value = models.TextField(null=True, blank=True)  # noqa: DJ001
    icon = models.CharField(max_length=1024, blank=True, default="")
    options = models.JSONField(default=list, blank=True)
    validation_regex = models.TextField(blank=True, default="")
    validation_error = models.TextField(blank=True, default="")
    validation_min = models.BigIntegerField(null=True, blank=True)
    validation_max = models.BigIntegerField(null=True, blank=True)
    validation_monotonic = models.CharField(max_length=16, blank=True, default="")

    class Meta:
        ordering = ["template_version", "index"]
        constraints = [
            models.UniqueConstraint(fields=["template_version", "name"], name="templates_richparameter_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name


class AccessRole(models.TextChoices):
    USE = "use"
    ADMIN = "admin"


class TemplateAccess(models.Model):
    """An entry of a template's access list: a user or a group, and what it may do with the template."""

    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="access")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="template_access",
    )
    group = models.ForeignKey(Group, on_delete=models.CASCADE, null=True, blank=True, related_name="template_access")
    role = models.CharField(max_length=8, choices=AccessRole.choices)

    class Meta:
        ordering = ["template", "user", "group"]
        verbose_name_plural = "template access"
        constraints = [
            models.UniqueConstraint(fields=["template", "user"], name="templates_access_user_unique"),
            models.UniqueConstraint(fields=["template", "group"], name="templates_access_group_unique"),
            models.CheckConstraint(
                condition=Q(user=None, group__isnull=False) | Q(user__isnull=False, group=None),
                name="templates_access_one_subject",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} for {self.user or self.group}"
