"""Answers to what identity asks before it deletes: which keys still serve an organization."""

from coderproj.identity.models import Organization
from provisioning.models import ProvisionerKey


def of_organization(organization: Organization) -> str:
    """Return a sentence about the valid keys of daemons in an organization, empty if there are none."""
    names = list(ProvisionerKey.objects.live().filter(organization=organization).values_list("name", flat=True)[:5])
    return f"Daemons still use its provisioner keys: {', '.join(names)}. Revoke them first." if names else ""


OF_ORGANIZATION = [of_organization]
