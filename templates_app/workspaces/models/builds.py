"""Builds of workspaces, with their parameters and their state."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Case, F, Value, When
from django.db.models.functions import MD5, Now

from coderproj.identity.actor import Actor
from coderproj.identity.rbac import Action
from provisioning.engine.base import Transition
from provisioning.models import JobStatus, ProvisionerJob
from provisioning.models.jobs import status_expression
from provisioning.models.resources import TRANSITIONS
from templates_app.models import TemplateVersion
from templates_app.workspaces.models.workspaces import Workspace, workspace_condition


class BuildReason(models.TextChoices):
    INITIATOR = "initiator"
    AUTOSTART = "autostart"
    AUTOSTOP = "autostop"


class BuildStatus(models.TextChoices):
    """The status of a build, and of its workspace (contract, build and workspace status)."""

    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DELETING = "deleting"
    DELETED = "deleted"
    CANCELING = "canceling"
    CANCELED = "canceled"
    FAILED = "failed"


# The status while a build runs, and after it succeeded.
BY_TRANSITION = {
    Transition.START: (BuildStatus.STARTING, BuildStatus.RUNNING),
    Transition.STOP: (BuildStatus.STOPPING, BuildStatus.STOPPED),
    Transition.DELETE: (BuildStatus.DELETING, BuildStatus.DELETED),
}


def build_status(status: JobStatus, transition: str) -> BuildStatus:
    """Return the status of a build whose job has this status. ``build_status_expression`` does the same in SQL."""
    running, succeeded = BY_TRANSITION[Transition(transition)]
    match status:
        case JobStatus.RUNNING:
            return running
        case JobStatus.SUCCEEDED:
            return succeeded
    return BuildStatus(status.value)


def build_status_expression(prefix: str = "") -> Case:
    """Return ``build_status`` as SQL, for the build that the lookup ``prefix`` (``latest_build__``) leads to."""
    job = status_expression(f"{prefix}job__")
    by_job = {
        status: Case(
            *(
                When(**{f"{prefix}transition": transition.value}, then=Value(words[place].value))
                for transition, words in BY_TRANSITION.items()
            ),
            output_field=models.CharField(),
        )
        for place, status in enumerate((JobStatus.RUNNING, JobStatus.SUCCEEDED))
    }
    cases = [When(case.condition, then=by_job.get(JobStatus(case.result.value), case.result)) for case in job.cases]
    return Case(*cases, default=job.default, output_field=models.CharField())


class WorkspaceBuildQuerySet(models.QuerySet["WorkspaceBuild"]):
    def visible(self, actor: Actor) -> "WorkspaceBuildQuerySet":
        """Return the builds of the workspaces that the actor may read."""
        return self.filter(workspace_condition(actor, Action.READ, "workspace__"))

    def newest_first(self) -> "WorkspaceBuildQuerySet":
        return self.order_by("-build_number")


class WorkspaceBuild(models.Model):
    """A transition of a workspace. Its job has the outcome; ``deadline`` is the time of the automatic stop.

    ``daily_cost``, in credits, is what its plan costs from the moment at which the budget allowed it, and after a
    success what exists then.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Of the database's clock: automatic starts are counted from it.
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="builds")
    build_number = models.PositiveIntegerField()
    template_version = models.ForeignKey(TemplateVersion, on_delete=models.PROTECT, related_name="workspace_builds")
    transition = models.CharField(max_length=8, choices=TRANSITIONS)
    reason = models.CharField(max_length=16, choices=BuildReason.choices, default=BuildReason.INITIATOR)
    initiator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="workspace_builds")
    job = models.OneToOneField(ProvisionerJob, on_delete=models.PROTECT, related_name="workspace_build")
    deadline = models.DateTimeField(null=True, blank=True)
    daily_cost = models.BigIntegerField(default=0)

    objects = WorkspaceBuildQuerySet.as_manager()

    class Meta:
        ordering = ["workspace", "-build_number"]
        constraints = [
            models.UniqueConstraint(fields=["workspace", "build_number"], name="workspaces_build_number_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.transition} #{self.build_number}"

    @property
    def status(self) -> BuildStatus:
        return build_status(self.job.status, self.transition)

    @property
    def name(self) -> str:
        """The name in the audit log."""
        return ""

    @property
    def organization_id(self) -> uuid.UUID:
        """The organization in the audit log."""
        return self.workspace.organization_id


class BuildParameter(models.Model):
    """The value of a rich parameter for a build."""

    build = models.ForeignKey(WorkspaceBuild, on_delete=models.CASCADE, related_name="parameters")
    name = models.TextField()
    value = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(F("build"), MD5("name"), name="workspaces_build_parameter_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name


class BuildState(models.Model):
    """The Terraform state that a build starts with, if it was given one, or left behind. Encrypted, see ``states``.

    A build without a row has the state of the build before it. ``size`` is that of the state in bytes. ``late_for`` is
    the number of the newer build that had begun without this state when it was reported; None if it was in time.
    """

    build = models.OneToOneField(WorkspaceBuild, on_delete=models.CASCADE, primary_key=True, related_name="state")
    updated_at = models.DateTimeField(auto_now=True)
    encrypted = models.BinaryField()
    size = models.PositiveBigIntegerField()
    late_for = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["late_for"], name="workspaces_state_late", condition=models.Q(late_for__isnull=False)),
        ]

    def __str__(self) -> str:
        return str(self.build_id)
