"""Legacy parameters: schemas of variables, and values by scope."""

import uuid

from django.db import models

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
    name = models.CharField(max_length=64)
    description = models.CharField(max_length=8192, blank=True, default="")
    default_source_scheme = models.CharField(max_length=8, choices=SourceScheme.choices)
    default_source_value = models.TextField(blank=True, default="")
    allow_override_source = models.BooleanField(default=True)
    default_destination_scheme = models.CharField(max_length=32, choices=DestinationScheme.choices)
    allow_override_destination = models.BooleanField(default=False)
    default_refresh = models.CharField(max_length=64, blank=True, default="")
    redisplay_value = models.BooleanField(default=True)
    validation_error = models.CharField(max_length=256, blank=True, default="")
    validation_condition = models.CharField(max_length=512, blank=True, default="")
    validation_type_system = models.CharField(max_length=8, default="none")
    validation_value_type = models.CharField(max_length=64, blank=True, default="")
    # The sorted values that a direct ``contains([…], var.x)`` condition allows; None for any other condition.
    validation_contains = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ["job", "index"]
        constraints = [
            models.UniqueConstraint(fields=["job", "name"], name="provisioning_schema_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name


class ParameterValue(models.Model):
    """A value of a variable, set for an import job, a template or a workspace.

    ``scope_id`` is not a foreign key, because ``scope`` determines the table.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    scope = models.CharField(max_length=16, choices=ParameterScope.choices)
    scope_id = models.UUIDField()
    name = models.CharField(max_length=64)
    source_scheme = models.CharField(max_length=8, choices=SourceScheme.choices)
    source_value = models.TextField(blank=True)
    destination_scheme = models.CharField(max_length=32, choices=DestinationScheme.choices)

    class Meta:
        ordering = ["scope", "scope_id", "name"]
        constraints = [
            models.UniqueConstraint(fields=["scope_id", "name"], name="provisioning_value_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name
