"""Legacy parameters: schemas of variables, and values by scope.

Names are as long as Terraform allows, too long for an index: unique constraints hash them.
"""

import uuid

from django.db import models
from django.db.models import F
from django.db.models.functions import MD5

from provisioning.models.jobs import ProvisionerJob


class SourceScheme(models.TextChoices):
    NONE = "none"
    DATA = "data"


class DestinationScheme(models.TextChoices):
    NONE = "none"
    ENVIRONMENT_VARIABLE = "environment_variable"
    PROVISIONER_VARIABLE = "provisioner_variable"


class ParameterScope(models.TextChoices):
    TEMPLATE = "template"
    IMPORT_JOB = "import_job"
    WORKSPACE = "workspace"


class ParameterSchema(models.Model):
    """A variable of a template's root module, found by its import job, in source order (``index``)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    job = models.ForeignKey(ProvisionerJob, on_delete=models.CASCADE, related_name="schemas")
    index = models.PositiveIntegerField()
    name = models.TextField()
    description = models.TextField(blank=True, default="")
    default_source_scheme = models.CharField(max_length=8, choices=SourceScheme.choices)
    default_source_value = models.TextField(blank=True, default="")
    allow_override_source = models.BooleanField(default=True)
    default_destination_scheme = models.CharField(max_length=32, choices=DestinationScheme.choices)
    allow_override_destination = models.BooleanField(default=False)
    default_refresh = models.CharField(max_length=64, blank=True, default="")
    redisplay_value = models.BooleanField(default=True)
    validation_error = models.TextField(blank=True, default="")
    validation_condition = models.TextField(blank=True, default="")
    # The variable is optional, although it has no default as text.
    default_is_null = models.BooleanField(default=False)
    validation_type_system = models.CharField(max_length=8, default="none")
    validation_value_type = models.TextField(blank=True, default="")
    # The sorted values that a direct ``contains([…], var.x)`` condition allows; None for any other condition.
    validation_contains = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ["job", "index"]
        constraints = [
            models.UniqueConstraint(F("job"), MD5("name"), name="provisioning_schema_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_required(self) -> bool:
        """True if the variable has neither a default nor a value in the template."""
        return self.default_source_scheme == SourceScheme.NONE and not self.default_is_null


class ParameterValue(models.Model):
    """A value of a variable, set for an import job, a template or a workspace.

    ``scope_id`` is not a foreign key, because ``scope`` determines the table.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    scope = models.CharField(max_length=16, choices=ParameterScope.choices)
    scope_id = models.UUIDField()
    name = models.TextField()
    source_scheme = models.CharField(max_length=8, choices=SourceScheme.choices)
    source_value = models.TextField(blank=True)
    destination_scheme = models.CharField(max_length=32, choices=DestinationScheme.choices)

    class Meta:
        ordering = ["scope", "scope_id", "name"]
        constraints = [
            models.UniqueConstraint(F("scope_id"), MD5("name"), name="provisioning_value_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name
