"""What of work can be found by the console's search."""

from collections.abc import Sequence

from django.urls import reverse

from coderproj.api.identifiers import parse_uuid
from coderproj.console import search
from coderproj.console.search import Hit, Source
from coderproj.identity.actor import Actor
from coderproj.identity.rbac import Action, Resource, allowed_everywhere
from provisioning.job_subjects import kind_of
from provisioning.models import ProvisionerDaemon, ProvisionerJob
from provisioning.pages.addresses import job_url

# A job is looked for by the beginning of its id, as lists show it.
SHORTEST_ID = 8
HEXADECIMAL = frozenset("0123456789abcdef-")


def find_jobs(actor: Actor, text: str, count: int) -> Sequence[Hit]:
    """Jobs by their id, or its first eight digits or more."""
    start = text.lower()
    if len(start) < SHORTEST_ID or not HEXADECIMAL.issuperset(start):
        return []
    jobs = ProvisionerJob.objects.visible(actor)
    job_id = parse_uuid(start)
    if job_id:
        jobs = jobs.filter(pk=job_id)
    else:
        low, high = _bounds(start)
        if not low or not high:
            return []
        jobs = jobs.filter(pk__gte=low, pk__lte=high)
    return [
        Hit(
            job_url(job),
            f"{kind_of(job)} {str(job.pk)[:8]}",
            f"{job.status.label}, {job.created_at:%Y-%m-%d %H:%M} UTC",
            "list-checks",
        )
        for job in jobs.order_by("pk")[:count]
    ]


def _bounds(start: str) -> tuple[object, object]:
    """The first and the last id that begin so: the primary key's index finds what is between."""
    digits = start.replace("-", "")[:32]
    return parse_uuid(_dashed(digits.ljust(32, "0"))), parse_uuid(_dashed(digits.ljust(32, "f")))


def _dashed(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def find_daemons(actor: Actor, text: str, count: int) -> Sequence[Hit]:
    if not allowed_everywhere(actor, Action.READ, Resource.PROVISIONER_DAEMON):
        return []
    daemons = ProvisionerDaemon.objects.filter(name__icontains=text).order_by("name")[:count]
    return [Hit(reverse("daemon", args=[row.pk]), row.name, row.hostname, "server") for row in daemons]


def register() -> None:
    """Called once, with the pages' addresses."""
    search.register(Source("Jobs", 60, find_jobs), Source("Daemons", 70, find_daemons, "/daemons?q="))
