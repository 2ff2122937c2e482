"""The addresses of the pages of jobs and daemons."""

import uuid

from coderproj.console.addresses import page_url
from provisioning.models import ProvisionerDaemon, ProvisionerJob


def job_url(job: ProvisionerJob | uuid.UUID) -> str:
    """Return the address of a job's page."""
    return page_url("job", str(job.pk if isinstance(job, ProvisionerJob) else job))


def daemon_url(daemon: ProvisionerDaemon | uuid.UUID) -> str:
    """Return the address of a daemon's page."""
    return page_url("daemon", str(daemon.pk if isinstance(daemon, ProvisionerDaemon) else daemon))
