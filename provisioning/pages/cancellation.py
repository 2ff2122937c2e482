"""The question before a job is canceled."""

from coderproj.console.questions import Question
from provisioning.models import ProvisionerJob
from provisioning.pages.addresses import job_url


def cancellation_of(job: ProvisionerJob, what: str) -> Question:
    """Return the question before the job, ``what`` in words, is canceled."""
    if job.started_at is None:
        consequences: tuple[str, ...] = ("It has not started, and never will.",)
    else:
        consequences = (
            "Its daemon interrupts it, lets it tidy up, and ends it after a while.",
            "What it found so far is not kept; its log is.",
        )
    return Question(
        key=f"cancel-{job.pk}",
        url=f"{job_url(job)}/cancel",
        action="Cancel",
        title=f"Cancel this {what.lower()}?",
        consequences=consequences,
        button=f"Cancel the {what.lower()}",
        back_url=job_url(job),
        back_label="Let it go on",
        danger=True,
    )
