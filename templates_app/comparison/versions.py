"""Compare two versions of a template: their files, their parameters and the resources of their plans."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache
from django.db.models import Prefetch

from coderproj.base.bounded import OverLimit
from coderproj.base.errors import Invalid
from coderproj.identity.actor import Actor
from provisioning.files import stored
from provisioning.models import File, ParameterSchema, ProvisionerJob, WorkspaceAgent, WorkspaceResource
from provisioning.models.resources import instance_label
from templates_app.bounded import POOL
from templates_app.models import RichParameter, TemplateVersion
from templates_app.source import NotShown, check_size
from templates_app.tasks.comparison import COMPARE, Change, FileChange, FileComparison

RICH_FIELDS = (
    "description",
    "type",
    "mutable",
    "default_value",
    "icon",
    "options",
    "validation_regex",
    "validation_error",
    "validation_min",
    "validation_max",
    "validation_monotonic",
)
SCHEMA_FIELDS = (
    "description",
    "default_source_scheme",
    "default_source_value",
    "allow_override_source",
    "redisplay_value",
    "validation_condition",
    "validation_error",
)


# Lines of all comparisons that are kept, by the hashes of the two archives.
KEPT_LINES = 200_000
_compared: LRUCache[tuple[str, str], FileComparison] = LRUCache(
    maxsize=KEPT_LINES, getsizeof=lambda found: found.weight
)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field with its value in the older and in the newer version; None where it is missing."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class ItemChange:
    """A parameter or resource that differs. ``fields`` are the differing fields, all for a new or removed item."""

    name: str
    change: Change
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class VersionComparison:
    """The differences of the newer version. ``files`` is None when the actor may not read the source, or when
    ``not_compared`` holds the reason why the files are too large to compare for a page."""

    files: tuple[FileChange, ...] | None
    parameters: tuple[ItemChange, ...]
    resources: tuple[ItemChange, ...]
    not_compared: str = ""

    def __bool__(self) -> bool:
        return bool(self.files or self.parameters or self.resources)


def compare(
    actor: Actor, before: TemplateVersion, after: TemplateVersion, *, is_gone: Callable[[], bool] | None = None
) -> VersionComparison:
    """Return the changes from ``before`` to ``after``, two versions that the actor may read.

    Runs a fixed number of queries. The files are compared in a bounded process. Raises Invalid when a stored archive is
    broken, and PoolBusy or ShareUsedUp when no process is free for the actor.
    """
    try:
        changed, not_compared = _files(actor, before, after, is_gone), ""
    except NotShown as reason:
        changed, not_compared = None, str(reason)
    return VersionComparison(
        files=changed,
        parameters=_items(_parameters(before), _parameters(after)),
        resources=_items(_resources(before.job_id), _resources(after.job_id)),
        not_compared=not_compared,
    )


def _files(
    actor: Actor, before: TemplateVersion, after: TemplateVersion, is_gone: Callable[[], bool] | None
) -> tuple[FileChange, ...] | None:
    """Compare the files; None when the actor may not read one of the sources. Raises NotShown."""
    jobs = ProvisionerJob.objects.filter(pk__in=(before.job_id, after.job_id))
    columns = jobs.values_list("pk", "file_id", "file__hash", "file__created_by_id", "file__size")
    rows = {job: (digest or "", file, author, size) for job, file, digest, author, size in columns}
    (old_hash, old, *_), (new_hash, new, *_) = both = rows[before.job_id], rows[after.job_id]
    if not all(stored.readable(actor, author) for *_, author, _ in both if author is not None):
        return None
    if old_hash == new_hash:
        return ()
    for *_, size in both:
        check_size(size or 0)
    known = _compared.get((old_hash, new_hash))
    if known is None:
        data = dict(File.objects.filter(pk__in=(old, new)).values_list("pk", "data"))
        archives = bytes(data.get(old, b"")), bytes(data.get(new, b""))
        try:
            known = POOL.run(COMPARE, archives, user=actor.id, is_gone=is_gone)
        except OverLimit:
            known = FileComparison(not_shown="the files take too long to compare")
        _compared[old_hash, new_hash] = known
    if known.problem:
        raise Invalid(known.problem)
    if known.not_shown:
        raise NotShown(known.not_shown)
    return known.files


def _parameters(version: TemplateVersion) -> dict[str, dict[str, Any]]:
    """Return fields by name, with a prefix for variables: a variable and a rich parameter can have the same name."""
    found: dict[str, dict[str, Any]] = {}
    for schema in ParameterSchema.objects.filter(job=version.job_id):
        shown = _fields(schema, SCHEMA_FIELDS)
        if not schema.redisplay_value:
            del shown["default_source_value"]
        found[f"variable {schema.name}"] = shown
    for row in RichParameter.objects.filter(template_version=version):
        found[row.name] = _fields(row, RICH_FIELDS)
    return found


def _resources(job_id: uuid.UUID) -> dict[str, dict[str, Any]]:
    """Return fields by address and transition, such as ``docker_container.dev[0] (start)``."""
    rows = WorkspaceResource.objects.filter(job=job_id).prefetch_related(
        "metadata",
        Prefetch("agents", WorkspaceAgent.objects.prefetch_related("apps")),
    )
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        key = f"{row} ({row.workspace_transition})"
        known = found.setdefault(key, _fields(row, ("hide", "icon", "instance_type", "daily_cost")))
        for item in row.metadata.all():
            known[f"metadata {instance_label(item.key, item.instance_key)}"] = (
                "sensitive" if item.sensitive else item.value
            )
        for agent in row.agents.all():
            known[f"agent {agent.label}"] = f"{agent.operating_system}/{agent.architecture}"
            for app in agent.apps.all():
                known[f"app {agent.label}.{app.slug}"] = app.url or app.command
    return found


def _fields(row: object, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _items(
    before: Mapping[str, Mapping[str, Any]],
    after: Mapping[str, Mapping[str, Any]],
) -> tuple[ItemChange, ...]:
    changes = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        change = Change.ADDED if old is None else Change.REMOVED if new is None else Change.CHANGED
        left, right = old or {}, new or {}
        fields = tuple(
            FieldChange(field, left.get(field), right.get(field))
            for field in dict.fromkeys((*left, *right))
            if left.get(field) != right.get(field)
        )
        changes.append(ItemChange(name, change, fields))
    return tuple(changes)
