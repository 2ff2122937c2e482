"""What imports and dry runs are about, for the pages of jobs."""

import uuid
from collections.abc import Mapping, Sequence

from django.db.models import Q, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from coderproj.identity.actor import Actor
from provisioning import job_subjects
from provisioning.figures import RUN_TYPES
from provisioning.job_subjects import Subject
from provisioning.models import JobType, ProvisionerJob
from templates_app.models import Template, TemplateVersion
from templates_app.pages.addresses import template_url, version_url

SHOWN_FIELDS = (
    *("name", "job"),
    *("template__name", "template__display_name", "template__deleted", "template__organization__name"),
)


def subjects_of(actor: Actor, jobs: Sequence[ProvisionerJob]) -> Mapping[uuid.UUID, Subject]:
    """The versions that these jobs import or try, of those that the actor may see. At most two queries."""
    version_ids = {job.pk: job.input.get("template_version_id") for job in jobs if job.type != JobType.IMPORT}
    imports = [job.pk for job in jobs if job.type == JobType.IMPORT]
    wanted = [version_id for version_id in version_ids.values() if version_id]
    if not imports and not wanted:
        return {}
    visible = TemplateVersion.objects.visible(actor).select_related("template__organization").only(*SHOWN_FIELDS)
    found = [*visible.filter(job__in=imports)] if imports else []
    if wanted:
        found += visible.filter(pk__in=wanted)
    by_job = {version.job_id: version for version in found}
    by_id = {str(version.pk): version for version in found}
    subjects = {}
    for job in jobs:
        version = by_job.get(job.pk) if job.type == JobType.IMPORT else by_id.get(version_ids[job.pk] or "")
        if version is not None:
            subjects[job.pk] = _subject(job, version)
    return subjects


def _subject(job: ProvisionerJob, version: TemplateVersion) -> Subject:
    template = version.template
    shown = template if template is not None and not template.deleted else None
    log = f"/api/v2/templateversions/{version.pk}"
    return Subject(
        name=version.name,
        url=version_url(version),
        template=(template.display_name or template.name) if template else "",
        template_url=template_url(shown) if shown else "",
        log_url=f"{log}/logs" if job.type == JobType.IMPORT else f"{log}/dry-run/{job.pk}/logs",
    )


def about_templates(actor: Actor, text: str) -> Q:
    """The jobs of versions whose template has the text in its name or display name, deleted ones included."""
    templates = Template.objects.readable(actor).filter(Q(name__icontains=text) | Q(display_name__icontains=text))
    versions = TemplateVersion.objects.filter(template__in=templates)
    runs = ProvisionerJob.objects.alias(version_id=KeyTextTransform("template_version_id", "input")).filter(
        type__in=RUN_TYPES, version_id__in=versions.annotate(text=Cast("pk", TextField())).values("text")
    )
    return Q(pk__in=versions.values("job")) | Q(pk__in=runs.values("pk"))


def register() -> None:
    """Called once, with the pages' addresses."""
    job_subjects.register(subjects_of, about_templates)
