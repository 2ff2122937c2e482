"""Workspaces."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower

from coderproj.identity.actor import Actor
from coderproj.identity.models import KeyScope, Organization
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, organizations_where
from templates_app.models import Template

NO_ROWS = Q(pk__in=())


class WorkspaceQuerySet(models.QuerySet["Workspace"]):
    def visible(self, actor: Actor) -> "WorkspaceQuerySet":
        """Return the workspaces that the actor may read, including deleted ones."""
        return self.filter(workspace_condition(actor, Action.READ))

    def changeable(self, actor: Actor, action: Action = Action.UPDATE) -> "WorkspaceQuerySet":
        """Return the workspaces on which the actor may do the action."""
        return self.filter(workspace_condition(actor, action))

    def existing(self) -> "WorkspaceQuerySet":
        return self.filter(deleted=False)

    def with_build(self) -> "WorkspaceQuerySet":
        """Return the workspaces with a build: all but those that are being created."""
        return self.filter(latest_build__isnull=False)

    def most_recent_first(self) -> "WorkspaceQuerySet":
        """Order for lists: used ones first, by last use, then by name (contract, W28)."""
        return self.order_by(F("last_used_at").desc(nulls_last=True), "name", "id")


def workspace_condition(actor: Actor, action: Action, prefix: str = "") -> Q:
    """Match workspaces on which the actor may do ``action``. ``prefix`` is the lookup of the workspace.

    An owner who left the organization has no rights of an owner (contract, permission matrix).
    """
    if actor.scope != KeyScope.ALL:
        return NO_ROWS
    if allowed_everywhere(actor, action, Resource.WORKSPACE):
        return Q()
    owned = Q(**{f"{prefix}owner_id": actor.id, f"{prefix}organization__any": actor.organization_ids})
    managed = organizations_where(actor, action, Resource.WORKSPACE)
    return owned | Q(**{f"{prefix}organization__any": managed})


class Workspace(models.Model):
    """A workspace: what its builds made of a template. Deleted workspaces keep their row.

    ``latest_build`` is the build with the highest number. ``due_at`` is the time at which the executor must look at
    the workspace again, ``last_due_at`` the time up to which nothing of the schedule is due any more: that of the last
    automatic build, or of a start that was left out. ``failed_stops`` is the number of failed automatic stops since the
    last successful build, ``stop_tried_at`` the time of the last one that could not be queued. ``due`` computes them.

    ``daily_cost`` is what the things that exist cost a day, in credits, as of the last build that ended;
    ``services.quota`` writes it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    name = models.CharField(max_length=32)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="workspaces")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="workspaces")
    template = models.ForeignKey(Template, on_delete=models.PROTECT, related_name="workspaces")
    deleted = models.BooleanField(default=False)
    # As the user wrote it; empty for none.
    autostart_schedule = models.CharField(max_length=256, blank=True, default="")
    schedule_set_at = models.DateTimeField(null=True, blank=True)
    # Milliseconds from a start to the automatic stop; None for no automatic stop.
    ttl_ms = models.BigIntegerField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    latest_build = models.OneToOneField(
        "WorkspaceBuild", on_delete=models.PROTECT, null=True, blank=True, related_name="latest_of"
    )
    due_at = models.DateTimeField(null=True, blank=True)
    last_due_at = models.DateTimeField(null=True, blank=True)
    failed_stops = models.PositiveSmallIntegerField(default=0)
    stop_tried_at = models.DateTimeField(null=True, blank=True)
    daily_cost = models.BigIntegerField(default=0)

    objects = WorkspaceQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                F("owner"), Lower("name"), condition=Q(deleted=False), name="workspaces_workspace_name_unique"
            ),
            models.CheckConstraint(
                condition=Q(ttl_ms=None) | Q(ttl_ms__gt=0), name="workspaces_workspace_ttl_positive"
            ),
        ]
        indexes = [
            models.Index(
                F("last_used_at").desc(nulls_last=True),
                "name",
                "id",
                name="workspaces_workspace_list",
                condition=Q(deleted=False),
            ),
            models.Index(fields=["template"], name="workspaces_workspace_template", condition=Q(deleted=False)),
            models.Index(fields=["due_at"], name="workspaces_workspace_due", condition=Q(due_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def lifetime_ms(self) -> int | None:
        """Milliseconds from a start to the automatic stop: the workspace's own, or its template's if that decides; None
        for no automatic stop."""
        return (self.ttl_ms if self.template.allow_user_autostop else self.template.default_ttl_ms) or None
