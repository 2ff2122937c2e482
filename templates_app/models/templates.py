"""Templates, their versions and rich parameters, and which of them an actor may see or change."""

import uuid

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q, Subquery, Value
from django.db.models.functions import Lower

from coderproj.base.errors import DomainError
from coderproj.identity.actor import Actor
from coderproj.identity.models import KeyScope, Organization
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, organizations_where
from provisioning.models import Provisioner, ProvisionerJob
from templates_app.models.visibility import NOBODY, template_condition


class Unverified(DomainError):
    """A version may be planned and never applied: stubs answered for some of what it is made of."""

    message = "The template version is unverified: it can be dry-run, and never be applied."


class TemplateQuerySet(models.QuerySet["Template"]):
    def existing(self) -> "TemplateQuerySet":
        """Templates that were not deleted."""
        return self.filter(deleted=False)

    def readable(self, actor: Actor) -> "TemplateQuerySet":
        """Templates that the actor may read, deleted ones included."""
        return self.filter(template_condition(actor, Action.READ))

    def visible(self, actor: Actor) -> "TemplateQuerySet":
        """Existing templates that the actor may read."""
        return self.existing().readable(actor)

    def visible_one(self, actor: Actor) -> "TemplateQuerySet":
        """The same, for a query that names one template."""
        return self.existing().filter(template_condition(actor, Action.READ, of_one=True))

    def with_statistics(self) -> "TemplateQuerySet":
        """Adds ``workspace_owner_count`` and ``active_user_count``. There are no workspaces yet, so nobody owns one
        and nobody was counted (-1)."""
        return self.annotate(workspace_owner_count=Value(0), active_user_count=Value(-1))

    def most_used_first(self) -> "TemplateQuerySet":
        """With statistics and authors, in the order of lists."""
        return self.with_statistics().select_related("created_by").order_by(F("active_user_count").desc(), "name", "id")

    def manageable(self, actor: Actor, action: Action = Action.UPDATE) -> "TemplateQuerySet":
        """Existing templates with which the actor may do that."""
        return self.existing().filter(template_condition(actor, action))


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


class TemplateVersionQuerySet(models.QuerySet["TemplateVersion"]):
    def visible(self, actor: Actor) -> "TemplateVersionQuerySet":
        """Versions of readable templates, deleted ones included; of those without a template, the actor's own and
        those in organizations where the actor may create templates."""
        return self.filter(self._condition(actor, Action.READ))

    def visible_one(self, actor: Actor) -> "TemplateVersionQuerySet":
        """The same, for a query that names one version."""
        return self.filter(self._condition(actor, Action.READ, of_one=True))

    def manageable(self, actor: Actor) -> "TemplateVersionQuerySet":
        """Versions that the actor may change, cancel or promote."""
        return self.filter(self._condition(actor, Action.UPDATE))

    def good(self) -> "TemplateVersionQuerySet":
        """Versions that one may well use: imported with success, and not archived."""
        imported = Q(job__completed_at__isnull=False, job__canceled_at=None, job__error="")
        return self.filter(imported, archived=False)

    def after_id(self, version_id: uuid.UUID) -> "TemplateVersionQuerySet":
        """Versions that come after that one in the order of creation: the page's start is found by index."""
        cursor = self.model._default_manager.filter(pk=version_id)
        created_at = Subquery(cursor.values("created_at"))
        before = Q(created_at=created_at, id__lte=version_id)
        return self.filter(created_at__gte=created_at).exclude(before)

    @staticmethod
    def _condition(actor: Actor, action: Action, *, of_one: bool = False) -> Q:
        if actor.scope != KeyScope.ALL:
            return NOBODY
        of_template = template_condition(actor, action, "template__", of_one=of_one)
        condition = Q(template__isnull=False) & of_template
        if allowed_everywhere(actor, Action.READ if action == Action.READ else Action.CREATE, Resource.TEMPLATE):
            return condition | Q(template=None)
        unattached = Q(created_by_id=actor.id) | Q(
            organization_id__any=organizations_where(actor, Action.CREATE, Resource.TEMPLATE)
        )
        return condition | (Q(template=None) & unattached)


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
