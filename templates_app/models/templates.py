"""Templates, their versions and rich parameters, with the querysets of what an actor may read or change."""

import uuid

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q, Subquery, Value
from django.db.models.functions import MD5, Coalesce, Lower

from coderproj.base.errors import DomainError
from coderproj.identity.actor import Actor
from coderproj.identity.models import KeyScope, Organization
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, organizations_where
from provisioning.models import Provisioner, ProvisionerJob
from templates_app.models.rules import (
    EVERY_DAY,
    HOUR_MS,
    MAX_WEEKS,
    CorsBehavior,
    PortShareLevel,
    RulesText,
)
from templates_app.models.visibility import NO_ROWS, template_condition


class Unverified(DomainError):
    """A version that may be planned but not applied: stubs replaced providers or modules during its import."""

    message = "The template version is unverified: it can be dry-run but not applied."


class TemplateQuerySet(models.QuerySet["Template"]):
    def existing(self) -> "TemplateQuerySet":
        """Return the templates that are not deleted."""
        return self.filter(deleted=False)

    def readable(self, actor: Actor) -> "TemplateQuerySet":
        """Return the templates that the actor may read, including deleted ones."""
        return self.filter(template_condition(actor, Action.READ))

    def visible(self, actor: Actor) -> "TemplateQuerySet":
        """Return the existing templates that the actor may read."""
        return self.existing().readable(actor)

    def visible_one(self, actor: Actor) -> "TemplateQuerySet":
        """``visible``, optimized for queries that select one template."""
        return self.existing().filter(template_condition(actor, Action.READ, single=True))

    def with_statistics(self) -> "TemplateQuerySet":
        """Add the counted figures: ``workspace_owner_count``, ``active_user_count`` and ``build_times``. Until a worker
        has counted the template, these are 0, -1 (unknown) and None."""
        return self.annotate(
            workspace_owner_count=Coalesce(F("statistics__workspace_owners"), Value(0)),
            active_user_count=Coalesce(F("statistics__active_users"), Value(-1)),
            build_times=F("statistics__build_times"),
        )

    def most_used_first(self) -> "TemplateQuerySet":
        """Add statistics and authors; sort by active users, most first, then by name."""
        return (
            self.with_statistics()
            .select_related("created_by", "organization")
            .order_by(F("active_user_count").desc(), "name", "id")
        )

    def manageable(self, actor: Actor, action: Action = Action.UPDATE) -> "TemplateQuerySet":
        """Return the existing templates on which the actor may do ``action``."""
        return self.existing().filter(template_condition(actor, action))


class Template(models.Model):
    """A named line of versions, one of them active. Deleting keeps the row but frees the name at once."""

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
    # Rules for workspaces. Days are those of ``rules.days_of``, 0 means off for durations.
    activity_bump_ms = models.BigIntegerField(default=HOUR_MS, validators=[MinValueValidator(0)])
    autostop_days = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(EVERY_DAY)])
    autostop_weeks = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(MAX_WEEKS)]
    )
    autostart_days = models.PositiveSmallIntegerField(default=EVERY_DAY, validators=[MaxValueValidator(EVERY_DAY)])
    allow_user_autostart = models.BooleanField(default=True)
    allow_user_autostop = models.BooleanField(default=True)
    failure_ttl_ms = models.BigIntegerField(default=0, validators=[MinValueValidator(0)])
    time_til_dormant_ms = models.BigIntegerField(default=0, validators=[MinValueValidator(0)])
    time_til_dormant_autodelete_ms = models.BigIntegerField(default=0, validators=[MinValueValidator(0)])
    require_active_version = models.BooleanField(default=False)
    deprecation_message = models.CharField(max_length=1024, blank=True, default="")
    max_port_share_level = models.CharField(
        max_length=16, choices=PortShareLevel.choices, default=PortShareLevel.PUBLIC
    )
    cors_behavior = models.CharField(max_length=16, choices=CorsBehavior.choices, default=CorsBehavior.SIMPLE)
    use_classic_parameter_flow = models.BooleanField(default=False)
    agents_allowed = models.BooleanField(default=True)
    rules = models.GeneratedField(expression=RulesText(), output_field=models.TextField(), db_persist=True)

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
            models.CheckConstraint(
                condition=Q(
                    activity_bump_ms__gte=0,
                    failure_ttl_ms__gte=0,
                    time_til_dormant_ms__gte=0,
                    time_til_dormant_autodelete_ms__gte=0,
                ),
                name="templates_template_durations_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(
                    autostop_days__lte=EVERY_DAY,
                    autostart_days__lte=EVERY_DAY,
                    autostop_weeks__range=(1, MAX_WEEKS),
                ),
                name="templates_template_days_and_weeks",
            ),
            # ``rules`` writes these texts without escapes.
            models.CheckConstraint(
                condition=Q(
                    max_port_share_level__in=PortShareLevel.values,
                    cors_behavior__in=CorsBehavior.values,
                ),
                name="templates_template_known_words",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def deprecated(self) -> bool:
        """True if new workspaces are refused, with ``deprecation_message`` as the reason."""
        return bool(self.deprecation_message)


class TemplateVersionQuerySet(models.QuerySet["TemplateVersion"]):
    def visible(self, actor: Actor) -> "TemplateVersionQuerySet":
        """Return the versions of readable templates, including deleted templates; and versions without a template that
        the actor created, or that are in organizations where the actor may create templates."""
        return self.filter(self._condition(actor, Action.READ))

    def visible_one(self, actor: Actor) -> "TemplateVersionQuerySet":
        """``visible``, optimized for queries that select one version."""
        return self.filter(self._condition(actor, Action.READ, single=True))

    def manageable(self, actor: Actor) -> "TemplateVersionQuerySet":
        """Return the versions that the actor may change, cancel or promote."""
        return self.filter(self._condition(actor, Action.UPDATE))

    def usable(self) -> "TemplateVersionQuerySet":
        """Return the versions that were imported successfully and are not archived."""
        imported = Q(job__completed_at__isnull=False, job__canceled_at=None, job__error="")
        return self.filter(imported, archived=False)

    def listed(self) -> "TemplateVersionQuerySet":
        """Return the versions that are not archived, which lists show."""
        return self.filter(archived=False)

    def after_id(self, version_id: uuid.UUID) -> "TemplateVersionQuerySet":
        """Return the versions after the given one in order of creation. An index finds the start of the page."""
        cursor = self.model._default_manager.filter(pk=version_id)
        created_at = Subquery(cursor.values("created_at"))
        before = Q(created_at=created_at, id__lte=version_id)
        return self.filter(created_at__gte=created_at).exclude(before)

    @staticmethod
    def _condition(actor: Actor, action: Action, *, single: bool = False) -> Q:
        if actor.scope != KeyScope.ALL:
            return NO_ROWS
        of_template = template_condition(actor, action, "template__", single=single)
        condition = Q(template__isnull=False) & of_template
        if allowed_everywhere(actor, Action.READ if action == Action.READ else Action.CREATE, Resource.TEMPLATE):
            return condition | Q(template=None)
        unattached = Q(created_by_id=actor.id) | Q(
            organization_id__any=organizations_where(actor, Action.CREATE, Resource.TEMPLATE)
        )
        return condition | (Q(template=None) & unattached)


class TemplateVersion(models.Model):
    """One imported folder of Terraform. It has no template until one is created from it or it is added to one."""

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
    # Addresses of providers and sources of modules that were unavailable and replaced by stubs.
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
        """True if the import planned with the real providers and modules only."""
        return not self.unverified_providers and not self.unverified_modules

    def require_verified(self) -> None:
        """Must be called before the version is applied.

        Raises Unverified when stubs replaced providers or modules during the import: the plan is then unreliable.
        """
        if not self.is_verified:
            missing = ", ".join([*self.unverified_providers, *self.unverified_modules])
            raise Unverified(detail=f"Unavailable during the import and replaced by stubs: {missing}.")


class VersionHtml(models.Model):
    """The Markdown of a version as safe HTML, rendered once: the readme, and the descriptions of its parameters by the
    keys of ``rendering.description_key``. ``renderer`` is the number of the renderer's rules."""

    version = models.OneToOneField(TemplateVersion, on_delete=models.CASCADE, primary_key=True, related_name="html")
    readme = models.TextField(blank=True, default="")
    descriptions = models.JSONField(blank=True, default=dict)
    renderer = models.PositiveSmallIntegerField()

    class Meta:
        verbose_name = "HTML of a version"
        verbose_name_plural = "HTML of versions"

    def __str__(self) -> str:
        return str(self.version_id)


class RichParameter(models.Model):
    """A ``coder_parameter`` of a version, in source order (``index``)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    template_version = models.ForeignKey(TemplateVersion, on_delete=models.CASCADE, related_name="rich_parameters")
    index = models.PositiveIntegerField()
    name = models.TextField()
    description = models.TextField(blank=True, default="")
    type = models.TextField()
    mutable = models.BooleanField(default=False)
    # None: the parameter has no default and needs a value.
    default_value = models.TextField(null=True, blank=True)  # noqa: DJ001
    icon = models.TextField(blank=True, default="")
    options = models.JSONField(default=list, blank=True)
    validation_regex = models.TextField(blank=True, default="")
    validation_error = models.TextField(blank=True, default="")
    validation_min = models.BigIntegerField(null=True, blank=True)
    validation_max = models.BigIntegerField(null=True, blank=True)
    validation_monotonic = models.TextField(blank=True, default="")
    # True: a build does not take its value from the build before.
    ephemeral = models.BooleanField(default=False)
    # None: the resource has no count and no for_each.
    instance_key = models.TextField(null=True, blank=True)  # noqa: DJ001

    class Meta:
        ordering = ["template_version", "index"]
        constraints = [
            models.UniqueConstraint(F("template_version"), MD5("name"), name="templates_richparameter_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name
