"""What a job is about, in words and addresses, and which jobs are about a template. The apps that order work say it:
this one does not know them. Pages ask, and so does ``JobFilter``, which is the API's as well."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Q

from coderproj.identity.actor import Actor
from provisioning.models import JobType, ProvisionerJob

KINDS = {JobType.IMPORT: "Import", JobType.DRY_RUN: "Dry run", JobType.BUILD: "Workspace build"}


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


Finder = Callable[[Actor, Sequence[ProvisionerJob]], Mapping[uuid.UUID, Subject]]
Condition = Callable[[Actor, str], Q]
_finders: list[Finder] = []
_conditions: list[Condition] = []


def register(finder: Finder, condition: Condition) -> None:
    """Have ``finder`` asked for the subjects of jobs, by their ids, and ``condition`` for the jobs whose template has a
    text in its name or display name; called once, before requests are answered."""
    _finders.append(finder)
    _conditions.append(condition)


def about_templates(actor: Actor, text: str) -> Q:
    """The jobs that work for a template with the text in its name or display name, deleted ones included, of templates
    that the actor may see. It says nothing of whether they may see the jobs."""
    found = Q(pk__in=[])
    for condition in _conditions:
        found |= condition(actor, text)
    return found


def subjects_of(actor: Actor, jobs: Iterable[ProvisionerJob]) -> dict[uuid.UUID, Subject]:
    """What these jobs are about, with an entry for each."""
    wanted = list(jobs)
    subjects = {job.pk: Subject() for job in wanted}
    for finder in _finders:
        subjects |= finder(actor, wanted)
    return subjects


def kind_of(job: ProvisionerJob) -> str:
    return KINDS.get(JobType(job.type), job.type)
