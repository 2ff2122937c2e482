"""Names of daemons and pages of jobs, for the audit log."""

import uuid
from collections.abc import Mapping

from coderproj.accounts.pages.events import AuditNames
from provisioning.models import ProvisionerDaemon
from provisioning.pages.addresses import job_url


def daemons_by_id(ids: set[uuid.UUID]) -> Mapping[uuid.UUID, str]:
    return dict(ProvisionerDaemon.objects.filter(pk__in=ids).values_list("pk", "name"))


def job_page(id_: str) -> str:
    return job_url(uuid.UUID(id_))


NAMES = [AuditNames(finders={"worker_id": daemons_by_id}, addresses={"provisioner_job": job_page})]
