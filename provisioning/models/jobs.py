"""Provisioner jobs. The table is also the queue."""

import uuid
from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Case, F, Func, Q, Value, When
from django.db.models.fields.json import KeyTextTransform

from coderproj.base.contributions import contributions
from coderproj.identity.actor import Actor
from coderproj.identity.models import KeyScope, Organization
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, organizations_where
from provisioning.models.files import File
from provisioning.protocol.leases import DEFAULT_TAGS

__all__ = ["DEFAULT_TAGS", "GIVEN_VALUES", "JobEnd", "JobStatus", "Provisioner", "ProvisionerJob", "without_values"]

# The keys of a job's input with values that a user gave for variables and parameters, for all kinds. They may be
# secrets: a job that has ended does not keep them.
GIVEN_VALUES = ("parameter_values", "rich_parameter_values")
REMOVED_SQL = f"- ARRAY[{', '.join(repr(name) for name in GIVEN_VALUES)}]"
WITHOUT_VALUES_SQL = f"input {REMOVED_SQL}"


def without_values() -> Func:
    """Return the job's input without the given values, as an expression."""
    return Func(F("input"), template=f"(%(expressions)s {REMOVED_SQL})", output_field=models.JSONField())


def job_types() -> list[tuple[str, str]]:
    """The types of jobs with their names in the API's document, as the installed apps declare them."""
    return [(kind.type, kind.choice_label or kind.label) for kind in contributions("job_kinds")]


class Provisioner(models.TextChoices):
    TERRAFORM = "terraform"
    ECHO = "echo"


class JobStatus(models.TextChoices):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    CANCELING = "canceling"
    CANCELED = "canceled"
    FAILED = "failed"


class JobEnd(models.TextChoices):
    """How a daemon gave up its lease on a job, or lost it."""

    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    RELEASE = "release"
    EXPIRE = "expire"


class ProvisionerJobQuerySet(models.QuerySet["ProvisionerJob"]):
    def with_status(self) -> "ProvisionerJobQuerySet":
        """Add ``current_status``, the status derived in SQL."""
        return self.annotate(current_status=status_expression())

    def visible(self, actor: Actor) -> "ProvisionerJobQuerySet":
        """The actor's own jobs, and the jobs of organizations whose templates the actor may manage."""
        if actor.scope != KeyScope.ALL:
            return self.none()
        if allowed_everywhere(actor, Action.UPDATE, Resource.TEMPLATE):
            return self.all()
        managed = organizations_where(actor, Action.UPDATE, Resource.TEMPLATE)
        return self.filter(
            Q(initiator_id=actor.id, organization__any=actor.organization_ids) | Q(organization__any=managed)
        )

    def active(self) -> "ProvisionerJobQuerySet":
        """Jobs that have not ended."""
        return self.filter(completed_at=None)

    def waiting(self) -> "ProvisionerJobQuerySet":
        """Jobs that no daemon has claimed yet."""
        return self.filter(started_at=None, completed_at=None, canceled_at=None)


class ProvisionerJob(models.Model):
    """A unit of work for a daemon. Only ``provisioning.queue`` writes these rows.

    The state machine; the status is derived from the columns (started, canceled, completed, error)::

        pending --claim--> running --complete--> succeeded
           |                  |  `----fail-----> failed
           | cancel           | cancel
           v                  v
        canceled          canceling --complete or fail--> canceled | failed

        running --lease expired--> pending again (kinds that may be repeated, at most MAX_ATTEMPTS times)
                             `---> failed (other kinds; attempts used up)

    A claim sets a new ``lease`` with its expiry. Every write of a daemon names the lease and must match one row,
    so a daemon that was frozen and wakes up changes nothing. ``ended_lease`` is the last lease that a daemon gave up
    itself, and ``ended_as`` how it did so: a daemon that did not receive the response can repeat the request.

    Every end of a job removes the given values from its ``input``.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    started_at = models.DateTimeField(null=True, blank=True)
    canceled_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, default="")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="jobs")
    initiator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="jobs")
    provisioner = models.CharField(max_length=16, choices=Provisioner.choices, default=Provisioner.TERRAFORM)
    storage_method = models.CharField(max_length=16, default="file")
    type = models.CharField(max_length=32, choices=job_types)
    file = models.ForeignKey(File, on_delete=models.PROTECT, null=True, blank=True, related_name="jobs")
    input = models.JSONField(default=dict)
    tags = models.JSONField(default=dict)
    priority = models.SmallIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    worker_id = models.UUIDField(null=True, blank=True)
    lease = models.UUIDField(null=True, blank=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    ended_lease = models.UUIDField(null=True, blank=True, editable=False)
    ended_as = models.CharField(max_length=8, choices=JobEnd.choices, blank=True, default="", editable=False)
    log_count = models.PositiveBigIntegerField(default=0)

    objects = ProvisionerJobQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]
        indexes = [
            models.Index(
                F("priority").desc(),
                "created_at",
                name="provisioning_job_waiting",
                condition=Q(started_at=None, completed_at=None, canceled_at=None),
            ),
            # Unfinished jobs: every page counts them, and the queue searches them for expired leases.
            models.Index(fields=["lease_expires_at"], name="provisioning_job_active", condition=Q(completed_at=None)),
            # Runs of a version: the templates' pages read those of the last days.
            models.Index(
                KeyTextTransform("template_version_id", "input"),
                "created_at",
                name="provisioning_job_runs",
            ),
            # Finished jobs, in the order of their list.
            models.Index(
                F("completed_at").desc(),
                "id",
                name="provisioning_job_finished",
                condition=Q(completed_at__isnull=False),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(lease=None, lease_expires_at=None) | Q(lease__isnull=False, lease_expires_at__isnull=False),
                name="provisioning_job_lease_whole",
            ),
            models.CheckConstraint(
                condition=Q(completed_at=None) | Q(lease=None), name="provisioning_job_done_without_lease"
            ),
            models.CheckConstraint(
                condition=Q(completed_at__isnull=False) | Q(error=""), name="provisioning_job_error_when_done"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_type_display()} {self.pk}"

    @property
    def status(self) -> JobStatus:
        """The status, derived as in the contract (provisioner job lifecycle, status derivation)."""
        return job_status(self.started_at, self.canceled_at, self.completed_at, self.error)


def job_status(
    started_at: datetime | None, canceled_at: datetime | None, completed_at: datetime | None, error: str
) -> JobStatus:
    """Return the status by the first matching rule. ``status_expression`` does the same in SQL."""
    if canceled_at:
        if not completed_at:
            return JobStatus.CANCELING
        return JobStatus.FAILED if error else JobStatus.CANCELED
    if completed_at:
        return JobStatus.FAILED if error else JobStatus.SUCCEEDED
    return JobStatus.RUNNING if started_at else JobStatus.PENDING


def status_expression(prefix: str = "") -> Case:
    """Return ``job_status`` as SQL, for the job that the lookup ``prefix`` (such as ``job__``) leads to."""
    done = Q(**{f"{prefix}completed_at__isnull": False})
    canceled = Q(**{f"{prefix}canceled_at__isnull": False})
    failed = ~Q(**{f"{prefix}error": ""})
    started = Q(**{f"{prefix}started_at__isnull": False})
    return Case(
        When(canceled & ~done, then=Value(JobStatus.CANCELING.value)),
        When(done & failed, then=Value(JobStatus.FAILED.value)),
        When(canceled, then=Value(JobStatus.CANCELED.value)),
        When(done, then=Value(JobStatus.SUCCEEDED.value)),
        When(started, then=Value(JobStatus.RUNNING.value)),
        default=Value(JobStatus.PENDING.value),
        output_field=models.CharField(),
    )
