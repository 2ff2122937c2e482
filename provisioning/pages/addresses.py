"""Where jobs are shown."""

from coderproj.console.addresses import page_url
from provisioning.models import ProvisionerJob


def job_url(job: ProvisionerJob) -> str:
    return page_url("job", str(job.pk))
