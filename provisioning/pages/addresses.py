"""Where jobs are shown."""

from django.urls import reverse

from provisioning.models import ProvisionerJob


def job_url(job: ProvisionerJob) -> str:
    return reverse("job", args=[job.pk])
