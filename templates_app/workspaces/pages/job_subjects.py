"""The builds of workspaces on the pages of jobs."""

import uuid
from collections.abc import Mapping, Sequence

from django.db.models import Q

from coderproj.identity.actor import Actor
from provisioning.models import ProvisionerJob
from provisioning.queue.subjects import Subject, SubjectSource
from templates_app.models import Template
from templates_app.pages.addresses import template_url, version_url
from templates_app.workspaces.job_kinds import BUILD_TYPE
from templates_app.workspaces.models import WorkspaceBuild
from templates_app.workspaces.pages.addresses import build_url
from templates_app.workspaces.pages.cells import stages_of

SHOWN_FIELDS = (
    *("job", "build_number", "transition", "template_version__name"),
    *("workspace__name", "workspace__deleted", "workspace__owner__username"),
    *("workspace__template__name", "workspace__template__display_name", "workspace__template__deleted"),
    "workspace__template__organization__name",
)
RELATED = ("template_version", "workspace__owner", "workspace__template__organization")


def subjects_of(actor: Actor, jobs: Sequence[ProvisionerJob]) -> Mapping[uuid.UUID, Subject]:
    """Return the visible builds of these jobs. Runs at most two queries."""
    wanted = [job.pk for job in jobs if job.type == BUILD_TYPE]
    if not wanted:
        return {}
    builds = WorkspaceBuild.objects.visible(actor).filter(job__in=wanted)
    found = list(builds.select_related(*RELATED).only(*SHOWN_FIELDS))
    templates = {build.workspace.template_id for build in found}
    readable = set(Template.objects.visible(actor).filter(pk__in=templates).values_list("pk", flat=True))
    return {build.job_id: _subject(build, shown=build.workspace.template_id in readable) for build in found}


def _subject(build: WorkspaceBuild, *, shown: bool) -> Subject:
    workspace, version = build.workspace, build.template_version
    template = version.template = workspace.template
    return Subject(
        name=f"{workspace.owner.username}/{workspace.name} #{build.build_number}",
        what="build",
        url=build_url(build),
        template=template.display_name or template.name,
        template_url=template_url(template) if shown else "",
        files_url=version_url(version, "version-files") if shown else "",
        log_url=f"/api/v2/workspacebuilds/{build.pk}/logs",
        stages=stages_of(build),
    )


def about_template(actor: Actor, text: str) -> Q:
    """Match no job: the source of versions finds the builds by their version."""
    return Q(pk__in=())


SUBJECTS = [SubjectSource(subjects_of, about_template)]
