"""The navigation entries for jobs and daemons."""

from coderproj.console.navigation import Entry, Section
from coderproj.identity.actor import Actor
from provisioning.models import ProvisionerJob


def count_active_jobs(actor: Actor) -> str:
    active = ProvisionerJob.objects.visible(actor).active().count()
    return f"{active} active" if active else ""


ENTRIES = [
    Entry("jobs", "Jobs", Section.BUILD, "list-checks", "jobs", 20, count=count_active_jobs),
    Entry("daemons", "Daemons", Section.BUILD, "server", "daemons", 30),
]
