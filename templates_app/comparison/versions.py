"""Two versions of a template compared by what a reviewer asks: what is written, asked for and created differently."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch

from coderproj.identity.actor import Actor
from coderproj.identity.rbac import Action, Resource, allowed
from provisioning.models import File, ParameterSchema, ProvisionerJob, WorkspaceAgent, WorkspaceResource
from templates_app.comparison.files import Change, FileChange, compare_files
from templates_app.models import RichParameter, TemplateVersion

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


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field with its value in the older and in the newer version; None where it has none."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class ItemChange:
    """A parameter or resource that differs. ``fields`` are those that do, all of a new or removed one."""

    name: str
    change: Change
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class VersionComparison:
    """What the newer of two versions does differently. ``files`` is None for those who may not read the source."""

    files: tuple[FileChange, ...] | None
    parameters: tuple[ItemChange, ...]
    resources: tuple[ItemChange, ...]

    def __bool__(self) -> bool:
        return bool(self.files or self.parameters or self.resources)


def compare(actor: Actor, before: TemplateVersion, after: TemplateVersion) -> VersionComparison:
    """What ``after`` changes, as far as the actor may know, who may read both versions. A fixed number of queries.

    Raises Invalid when a stored archive is broken.
    """
    return VersionComparison(
        files=_files(actor, before, after),
        parameters=_items(_parameters(before), _parameters(after)),
        resources=_items(_resources(before.job_id), _resources(after.job_id)),
    )


def _files(actor: Actor, before: TemplateVersion, after: TemplateVersion) -> tuple[FileChange, ...] | None:
    jobs = ProvisionerJob.objects.filter(pk__in=(before.job_id, after.job_id))
    files = {job: (file, owner) for job, file, owner in jobs.values_list("pk", "file_id", "file__created_by_id")}
    (old, old_owner), (new, new_owner) = files[before.job_id], files[after.job_id]
    if not all(allowed(actor, Action.READ, Resource.FILE, owner_id=owner) for owner in (old_owner, new_owner)):
        return None
    if old == new:
        return ()
    data = dict(File.objects.filter(pk__in=(old, new)).values_list("pk", "data"))
    return compare_files(bytes(data.get(old, b"")), bytes(data.get(new, b"")))


def _parameters(version: TemplateVersion) -> dict[str, dict[str, Any]]:
    """By name. A variable and a rich parameter may have the same one."""
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
    """By address and transition, as ``docker_container.dev (start)``; instances of ``count`` are one."""
    rows = WorkspaceResource.objects.filter(job=job_id).prefetch_related(
        "metadata",
        Prefetch("agents", WorkspaceAgent.objects.prefetch_related("apps")),
    )
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        key = f"{row.type}.{row.name} ({row.workspace_transition})"
        known = found.setdefault(key, {"instances": 0, **_fields(row, ("hide", "icon", "instance_type", "daily_cost"))})
        known["instances"] += 1
        for item in row.metadata.all():
            known[f"metadata {item.key}"] = "sensitive" if item.sensitive else item.value
        for agent in row.agents.all():
            known[f"agent {agent.name}"] = f"{agent.operating_system}/{agent.architecture}"
            for app in agent.apps.all():
                known[f"app {agent.name}.{app.slug}"] = app.url or app.command
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
