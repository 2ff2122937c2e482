"""Figures about the use of templates. Workers keep them, with ``templates_app.statistics`` and the apps above.

Days are midnights in UTC. Times are whole milliseconds.
"""

from django.conf import settings
from django.db import models
from django.db.models import Q

from coderproj.identity.models import Organization
from provisioning.models import ProvisionerJob, WorkspaceAgent
from templates_app.models.templates import Template, TemplateVersion


class StatisticsProgress(models.Model):
    """How far the workers are: one row, which a worker locks while it counts.

    Reports and ended jobs before ``until`` are counted; ``counted_on`` is the day of the last count of all templates.
    Insights were last calculated at ``insights_at``, in ``insights_ms`` milliseconds. Those of organizations and of the
    deployment lack changes of days since ``insights_from``, which those of templates have; None for no change.
    """

    id = models.SmallIntegerField(primary_key=True)
    until = models.DateTimeField(null=True, blank=True)
    counted_on = models.DateTimeField(null=True, blank=True)
    insights_at = models.DateTimeField(null=True, blank=True)
    insights_ms = models.PositiveIntegerField(default=0)
    insights_from = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"counted until {self.until}"


class TemplateStatistics(models.Model):
    """The figures of a template that the API shows.

    ``active_users`` is None if they are not counted. ``build_times`` is the JSON of ``build_time_stats``, as the API
    writes it. ``stale_from`` is the first day that must be counted again, None for none; ``insights_are_stale`` says
    that the insights are older than these figures, ``insights_from`` is the first day that has changed since.

    ``runs`` is the number of builds and dry runs that succeeded in the last 30 days, None if they were not counted
    yet; ``run_p50`` and ``run_p95`` are percentiles of their run times.
    """

    template = models.OneToOneField(Template, on_delete=models.CASCADE, primary_key=True, related_name="statistics")
    counted_at = models.DateTimeField(null=True, blank=True)
    active_users = models.PositiveIntegerField(null=True, blank=True)
    workspace_owners = models.PositiveIntegerField(default=0)
    build_times = models.TextField(blank=True, default="")
    stale_from = models.DateTimeField(null=True, blank=True)
    insights_are_stale = models.BooleanField(default=True)
    insights_from = models.DateTimeField(null=True, blank=True)
    runs = models.PositiveIntegerField(null=True, blank=True)
    run_p50 = models.FloatField(null=True, blank=True)
    run_p95 = models.FloatField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "template statistics"

    def __str__(self) -> str:
        return str(self.template_id)


class DailyUser(models.Model):
    """A user whose workspaces of a template had traffic on a day."""

    pk = models.CompositePrimaryKey("template_id", "day", "user_id")
    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="daily_users", db_index=False)
    day = models.DateTimeField()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="active_days")

    class Meta:
        indexes = [models.Index(fields=["day", "user"], name="templates_dailyuser_day")]

    def __str__(self) -> str:
        return f"{self.user_id} on {self.day:%Y-%m-%d}"


class DailyCount(models.Model):
    """The number of users of a template on a day; of the deployment without a template. From the first day with users
    to the last, each day has a row."""

    template = models.ForeignKey(
        Template, on_delete=models.CASCADE, null=True, blank=True, related_name="daily_counts", db_index=False
    )
    day = models.DateTimeField()
    users = models.PositiveIntegerField()

    class Meta:
        ordering = ["template", "day"]
        constraints = [
            models.UniqueConstraint(
                fields=["template", "day"], name="templates_dailycount_of_template", condition=Q(template__isnull=False)
            ),
            models.UniqueConstraint(
                fields=["day"], name="templates_dailycount_of_all", condition=Q(template__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.users} on {self.day:%Y-%m-%d}"


class DailyRuns(models.Model):
    """The builds and dry runs of a template that ended on a day: the number of ``users`` who wanted them, of ``runs``
    that succeeded, and percentiles of the run times of these. Days without any have no row."""

    pk = models.CompositePrimaryKey("template_id", "day")
    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="daily_runs", db_index=False)
    day = models.DateTimeField()
    users = models.PositiveIntegerField()
    runs = models.PositiveIntegerField()
    p50 = models.FloatField(null=True, blank=True)
    p95 = models.FloatField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "daily runs"

    def __str__(self) -> str:
        return f"{self.runs} on {self.day:%Y-%m-%d}"


class TimedKind(models.TextChoices):
    """What a job did, as statistics tell them apart."""

    IMPORT = "import"
    DRY_RUN = "dry_run"
    START = "start"
    STOP = "stop"
    DELETE = "delete"


class Outcome(models.TextChoices):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class JobTime(models.Model):
    """What statistics keep of a job that has ended. ``template`` is None while the version has none; ``error`` is the
    first line of the job's error. A job that never started has neither time."""

    job = models.OneToOneField(ProvisionerJob, on_delete=models.CASCADE, primary_key=True, related_name="times")
    template = models.ForeignKey(
        Template, on_delete=models.CASCADE, null=True, blank=True, related_name="job_times", db_index=False
    )
    version = models.ForeignKey(TemplateVersion, on_delete=models.CASCADE, related_name="job_times", db_index=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="job_times", db_index=False)
    completed_at = models.DateTimeField()
    kind = models.CharField(max_length=8, choices=TimedKind.choices)
    outcome = models.CharField(max_length=9, choices=Outcome.choices)
    waited_ms = models.BigIntegerField(null=True, blank=True)
    ran_ms = models.BigIntegerField(null=True, blank=True)
    error = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-completed_at"]
        indexes = [
            # With what insights are calculated from: the rows of a template lie in as many pages of the table.
            models.Index(
                fields=["template", "completed_at"],
                include=["kind", "outcome", "version", "ran_ms", "waited_ms"],
                name="templates_jobtime_figures",
            ),
            models.Index(
                fields=["template", "completed_at"],
                include=["error"],
                name="templates_jobtime_failed",
                condition=Q(outcome=Outcome.FAILED),
            ),
            models.Index(fields=["completed_at"], name="templates_jobtime_completed"),
            # Imports whose version has no template yet, and rows of a deleted version.
            models.Index(fields=["version"], name="templates_jobtime_unattached", condition=Q(template__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.outcome}"


class AgentTime(models.Model):
    """When an agent of a workspace was ready for the first time, and how long after its build had ended."""

    agent = models.OneToOneField(WorkspaceAgent, on_delete=models.CASCADE, primary_key=True, related_name="times")
    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="agent_times", db_index=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="agent_times", db_index=False)
    ready_at = models.DateTimeField()
    ready_ms = models.BigIntegerField()

    class Meta:
        ordering = ["-ready_at"]
        indexes = [
            models.Index(fields=["template", "ready_at"], include=["ready_ms"], name="templates_agenttime_figures"),
            models.Index(fields=["ready_at"], name="templates_agenttime_ready"),
        ]

    def __str__(self) -> str:
        return f"{self.ready_ms} ms"


class ParameterUse(models.Model):
    """How many existing workspaces of a template have a value of a rich parameter. ``value`` is None for all values of
    a parameter without options: ``values`` is then the number of different ones."""

    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="parameter_uses")
    name = models.TextField()
    value = models.TextField(null=True, blank=True)  # noqa: DJ001 - the empty text is a value
    workspaces = models.PositiveIntegerField()
    values = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["template", "name", "-workspaces", "value"]

    def __str__(self) -> str:
        return self.name


class Insights(models.Model):
    """The insights of the last ``days`` days: of a template, of an organization, or of the deployment without either.

    ``figures`` has the form of ``statistics.figures.Figures``; the columns beside it are those by which the pages sort
    and list templates. Times are in milliseconds.
    """

    template = models.ForeignKey(
        Template, on_delete=models.CASCADE, null=True, blank=True, related_name="insights", db_index=False
    )
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, null=True, blank=True, related_name="insights", db_index=False
    )
    days = models.PositiveSmallIntegerField()
    calculated_at = models.DateTimeField()
    figures = models.JSONField()
    builds = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    imports_failed = models.PositiveIntegerField(default=0)
    start_p50 = models.BigIntegerField(null=True, blank=True)
    start_p95 = models.BigIntegerField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "insights"
        constraints = [
            models.UniqueConstraint(
                fields=["template", "days"], name="templates_insights_of_template", condition=Q(template__isnull=False)
            ),
            models.UniqueConstraint(
                fields=["organization", "days"],
                name="templates_insights_of_organization",
                condition=Q(organization__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["days"],
                name="templates_insights_of_all",
                condition=Q(template__isnull=True, organization__isnull=True),
            ),
            models.CheckConstraint(
                condition=Q(template__isnull=True) | Q(organization__isnull=True), name="templates_insights_of_one"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.days} days"
