"""The template versions of imports and dry runs, for the pages of jobs and for the filter of jobs by template."""

import uuid
from collections.abc import Mapping, Sequence

from django.contrib.postgres.fields import ArrayField
from django.db.models import BooleanField, F, Func, Q, TextField, Value

from coderproj.identity.actor import Actor
from coderproj.identity.rbac import Action
from provisioning.models import ProvisionerJob
from provisioning.queue.kinds import is_run_sql
from provisioning.queue.subjects import JobMetadata, Subject, SubjectSource
from templates_app.job_kinds import JobType
from templates_app.models import TemplateVersion
from templates_app.models.visibility import template_condition
from templates_app.pages.addresses import template_url, version_url

SHOWN_FIELDS = (
    *("name", "job"),
    *("template__name", "template__display_name", "template__icon", "template__deleted"),
    "template__organization__name",
)
# Conditions on runs and their version. VERSION_ID is the exact expression of the index ``provisioning_job_runs``: with
# a parameter instead of the constant, a prepared statement could not use the index.
IS_RUN = Func(F("type"), template=is_run_sql("%(expressions)s"), output_field=BooleanField())
VERSION_ID = Func(F("input"), template="(%(expressions)s ->> 'template_version_id')", output_field=TextField())
# Up to this number, runs are selected by their ids.
FEW_RUNS = 1000


def subjects_of(actor: Actor, jobs: Sequence[ProvisionerJob]) -> Mapping[uuid.UUID, Subject]:
    """Return the visible versions that these jobs import, dry-run or build. Runs at most two queries."""
    found = _versions_of(actor, jobs)
    return {job.pk: _subject(job, found[job.pk]) for job in jobs if job.pk in found}


def metadata_of(actor: Actor, jobs: Sequence[ProvisionerJob]) -> Mapping[uuid.UUID, JobMetadata]:
    """Return the same for clients."""
    return {job_id: _metadata(version) for job_id, version in _versions_of(actor, jobs).items()}


def _metadata(version: TemplateVersion) -> JobMetadata:
    template = version.template
    if template is None:
        return JobMetadata(version.pk, version.name)
    return JobMetadata(version.pk, version.name, template.pk, template.name, template.display_name, template.icon)


def _versions_of(actor: Actor, jobs: Sequence[ProvisionerJob]) -> dict[uuid.UUID, TemplateVersion]:
    """Return the visible versions by job id."""
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
    versions: dict[uuid.UUID, TemplateVersion] = {}
    for job in jobs:
        version = by_job.get(job.pk) if job.type == JobType.IMPORT else by_id.get(version_ids[job.pk] or "")
        if version is not None:
            versions[job.pk] = version
    return versions


def _subject(job: ProvisionerJob, version: TemplateVersion) -> Subject:
    template = version.template
    shown = template if template is not None and not template.deleted else None
    log = f"/api/v2/templateversions/{version.pk}"
    return Subject(
        name=version.name,
        url=version_url(version),
        template=(template.display_name or template.name) if template else "",
        template_url=template_url(shown) if shown else "",
        files_url=version_url(version, "version-files"),
        log_url=f"{log}/logs" if job.type == JobType.IMPORT else f"{log}/dry-run/{job.pk}/logs",
    )


def _runs_of(version_ids: Sequence[uuid.UUID]) -> Q:
    """Return the condition for runs of these versions."""
    texts = Value([str(version_id) for version_id in version_ids], ArrayField(TextField()))
    one_of_them = Func(
        *(VERSION_ID, Func(texts, function="ANY")),
        template="%(expressions)s",
        arg_joiner=" = ",
        output_field=BooleanField(),
    )
    return Q(IS_RUN, one_of_them)


def about_templates(actor: Actor, text: str) -> Q:
    """Return the condition for jobs of templates, including deleted ones, with the text in their name or display name.

    Runs two queries. Their cost depends on the number of matching templates, not of jobs. A few runs are selected by
    their ids: PostgreSQL does not know that they are few and could read all finished jobs to find them. With many runs
    it finds a page of them quickly.
    """
    versions = TemplateVersion.objects.filter(
        template_condition(actor, Action.READ, "template__"),
        Q(template__name__icontains=text) | Q(template__display_name__icontains=text),
    )
    found = list(versions.values_list("pk", "job"))
    if not found:
        return Q(pk__in=())
    imports = [job_id for _, job_id in found]
    are_runs = _runs_of([version_id for version_id, _ in found])
    # Sorting by the index's order makes PostgreSQL use it; it has no statistics on the number of runs per version.
    runs = ProvisionerJob.objects.filter(are_runs).order_by(VERSION_ID).values_list("pk", flat=True)
    few = list(runs[: FEW_RUNS + 1])
    return Q(pk__any=imports) | are_runs if len(few) > FEW_RUNS else Q(pk__any=[*imports, *few])


SUBJECTS = [SubjectSource(subjects_of, about_templates, metadata_of)]
