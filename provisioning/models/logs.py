"""Log lines of jobs."""

from django.db import models

from provisioning.models.jobs import ProvisionerJob


class ProvisionerJobLog(models.Model):
    """One line. ``id`` is the line's number within its job: 1, 2, 3 … without a gap.

    The composite key also makes PostgreSQL use the right index for the page query in prepared statements.
    ``provisioning.log.writing`` writes the rows with COPY.
    """

    pk = models.CompositePrimaryKey("job_id", "id")
    job = models.ForeignKey(ProvisionerJob, on_delete=models.CASCADE, related_name="logs", db_index=False)
    id = models.BigIntegerField()
    created_at = models.DateTimeField()
    source = models.CharField(max_length=32)
    level = models.CharField(max_length=8)
    stage = models.CharField(max_length=128)
    output = models.TextField()

    class Meta:
        ordering = ["job_id", "id"]

    def __str__(self) -> str:
        return f"{self.id}: {self.output}"
