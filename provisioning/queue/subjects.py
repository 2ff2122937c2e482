"""What a job is about, in words and addresses, and which jobs are about a template. The apps that create jobs
contribute it as ``job_subjects``. Pages and ``JobFilter`` use it."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Q

from coderproj.base.contributions import contributions
from coderproj.identity.actor import Actor
from provisioning.models import ProvisionerJob


@dataclass(frozen=True, slots=True)
class Subject:
    """What a job is about. ``log_url`` is the API's address of its log, ``files_url`` the page of the files that it
    works on, which not everybody who sees the job may read (``files.source_of``). Empty texts where there is nothing to
    say or the actor may not see it."""

    name: str = ""
    url: str = ""
    template: str = ""
    template_url: str = ""
    log_url: str = ""
    files_url: str = ""


@dataclass(frozen=True, slots=True)
class SubjectSource:
    """What an app knows of its jobs. ``find`` returns the subjects of jobs by their ids, ``about_template`` the
    condition for jobs whose template has a text in its name or display name."""

    find: Callable[[Actor, Sequence[ProvisionerJob]], Mapping[uuid.UUID, Subject]]
    about_template: Callable[[Actor, str], Q]


def about_templates(actor: Actor, text: str) -> Q:
    """The jobs that work for a template with the text in its name or display name, deleted ones included, of templates
    that the actor may see. It says nothing of whether they may see the jobs."""
    found = Q(pk__in=[])
    for source in _sources():
        found |= source.about_template(actor, text)
    return found


def subjects_of(actor: Actor, jobs: Iterable[ProvisionerJob]) -> dict[uuid.UUID, Subject]:
    """What these jobs are about, with an entry for each."""
    wanted = list(jobs)
    subjects = {job.pk: Subject() for job in wanted}
    for source in _sources():
        subjects |= source.find(actor, wanted)
    return subjects


def _sources() -> Iterable[SubjectSource]:
    return contributions("job_subjects")
