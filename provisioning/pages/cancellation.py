"""The question before a job is canceled."""

from coderproj.console.questions import Question
from provisioning.models import ProvisionerJob
from provisioning.pages.addresses import job_url


def cancellation_of(job: ProvisionerJob, what: str) -> Question:
    """Return the question before a job is canceled; ``what`` is its kind."""
    if job.started_at is None:
        consequences: tuple[str, ...] = ("The job has not started and will never start.",)
    else:
        consequences = (
            "The daemon interrupts the job, lets it clean up, and kills it after a time limit.",
            "Its results are discarded; its log is kept.",
        )
    return Question(
        key=f"cancel-{job.pk}",
        url=f"{job_url(job)}/cancel",
        action="Cancel",
        title=f"Cancel this {what.lower()}?",
        consequences=consequences,
        button=f"Cancel the {what.lower()}",
        back_url=job_url(job),
        back_label="Keep it running",
        danger=True,
    )
