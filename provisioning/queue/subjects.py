"""The subject of a job: the template and version that it is for. Also finds the jobs of a template.

Apps that create jobs contribute a SubjectSource as ``job_subjects``. Pages and ``JobFilter`` use it.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Q

from coderproj.base.contributions import contributions
from coderproj.identity.actor import Actor
from provisioning.models import ProvisionerJob


@dataclass(frozen=True, slots=True)
class Subject:
    """What a job is about, a version of a template or what was built from it: ``what`` is the word for it, ``name`` and
    ``url`` are its name and page. ``log_url`` is the API's address of the job's log. ``files_url`` is the page of the
    source files, which not every user who sees the job may read (``files.source_of``). ``stages`` are those of the job
    if its kind has others as well. Fields are empty when there is no value or the actor may not see it."""

    name: str = ""
    url: str = ""
    template: str = ""
    template_url: str = ""
    log_url: str = ""
    files_url: str = ""
    what: str = "version"
    stages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobMetadata:
    """The version that a job is about, and its template, which is None before one is made."""

    template_version_id: uuid.UUID
    template_version_name: str
    template_id: uuid.UUID | None = None
    template_name: str = ""
    template_display_name: str = ""
    template_icon: str = ""

    def members(self) -> dict[str, str]:
        """Return what clients read beside the job, without what does not exist."""
        found = {"template_version_name": self.template_version_name}
        if self.template_id is not None:
            found["template_id"] = str(self.template_id)
            names = ("template_name", "template_display_name", "template_icon")
            found |= {name: getattr(self, name) for name in names}
        return found


@dataclass(frozen=True, slots=True)
class SubjectSource:
    """An app's contribution. ``find`` returns the subjects of jobs by job id, ``about_template`` the condition for jobs
    whose template has a text in its name or display name, ``describe`` what clients read beside jobs, by job id."""

    find: Callable[[Actor, Sequence[ProvisionerJob]], Mapping[uuid.UUID, Subject]]
    about_template: Callable[[Actor, str], Q]
    describe: Callable[[Actor, Sequence[ProvisionerJob]], Mapping[uuid.UUID, JobMetadata]] | None = None


def about_templates(actor: Actor, text: str) -> Q:
    """Return the condition for jobs of templates, including deleted ones, that the actor may see and that have the text
    in their name or display name. It does not check whether the actor may see the jobs."""
    found = Q(pk__in=[])
    for source in _sources():
        found |= source.about_template(actor, text)
    return found


def subjects_of(actor: Actor, jobs: Iterable[ProvisionerJob]) -> dict[uuid.UUID, Subject]:
    """Return the subjects of these jobs by job id, with an entry for each job."""
    wanted = list(jobs)
    subjects = {job.pk: Subject() for job in wanted}
    for source in _sources():
        subjects |= source.find(actor, wanted)
    return subjects


def metadata_of(actor: Actor, jobs: Sequence[ProvisionerJob]) -> dict[uuid.UUID, JobMetadata]:
    """Return what the actor may see of the versions and templates that these jobs are about, by job id."""
    found: dict[uuid.UUID, JobMetadata] = {}
    for source in _sources():
        found |= source.describe(actor, jobs) if source.describe else {}
    return found


def _sources() -> Iterable[SubjectSource]:
    return contributions("job_subjects")
