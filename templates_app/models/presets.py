"""Presets: named sets of values for the rich parameters of a version."""

import uuid

from django.db import models
from django.db.models.functions import MD5

from templates_app.models.templates import TemplateVersion


class Preset(models.Model):
    """A ``coder_workspace_preset`` of a version, in the order of its plan (``index``). ``parameters`` is a list of
    objects with ``name`` and ``value``; every value is valid for the version."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    template_version = models.ForeignKey(TemplateVersion, on_delete=models.CASCADE, related_name="presets")
    index = models.PositiveIntegerField()
    name = models.TextField()
    description = models.TextField(blank=True, default="")
    icon = models.TextField(blank=True, default="")
    is_default = models.BooleanField(default=False)
    parameters = models.JSONField(default=list, blank=True)
    # The number of workspaces that the template wants to be built in advance; None without such a wish. None is built.
    prebuilds = models.BigIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["template_version", "index"]
        constraints = [
            models.UniqueConstraint(models.F("template_version"), MD5("name"), name="templates_preset_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def values(self) -> dict[str, str]:
        """The values by the name of their parameter."""
        return {value["name"]: value["value"] for value in self.parameters}
