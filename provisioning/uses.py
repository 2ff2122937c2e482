"""Answers to what identity asks before it deletes: which keys and jobs an organization still has."""

from coderproj.identity.models import Organization
from provisioning.models import ProvisionerJob, ProvisionerKey


def of_organization(organization: Organization) -> str:
    """Return a sentence about the valid keys of daemons in an organization, empty if there are none."""
    names = list(ProvisionerKey.objects.live().filter(organization=organization).values_list("name", flat=True)[:5])
    return f"Daemons still use its provisioner keys: {', '.join(names)}. Revoke them first." if names else ""


def jobs_of_organization(organization: Organization) -> str:
    """Return a sentence if jobs of an organization wait or run, else an empty text."""
    active = ProvisionerJob.objects.filter(organization=organization, completed_at=None)
    return "It has jobs that wait or run. Cancel them or let them end first." if active.exists() else ""


OF_ORGANIZATION = [of_organization, jobs_of_organization]
