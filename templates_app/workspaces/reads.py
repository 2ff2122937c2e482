"""The compiled reads of workspaces and builds: one statement each, with visibility in its WHERE."""

import uuid

from django.db.models import IntegerField, OuterRef, Q, Subquery, Value
from django.db.models.fields import TextField
from django.db.models.functions import Cast
from django.db.models.lookups import Exact

from coderproj.identity.actor import Actor
from coderproj.identity.models import KeyScope, User
from coderproj.reads.compiled import Read
from coderproj.reads.json_sql import JsonObject
from coderproj.reads.serializers import json_list, json_object
from provisioning.models import WorkspaceResource
from provisioning.reads import COMPLETED, OfOneRow, read_log_of
from templates_app.workspaces.models import BuildParameter, Workspace, WorkspaceBuild, WorkspaceQuerySet
from templates_app.workspaces.models.conditions import (
    has_agent,
    in_status,
    is_built_from,
    is_owned_by,
    name_contains,
    shown_status,
)
from templates_app.workspaces.serializers.answers import (
    BuildParameterSerializer,
    BuildResourceSerializer,
    WorkspaceBuildSerializer,
    WorkspaceSerializer,
)

# WE16 sorts by name (contract); the resources of a build have the order of the plan.
BY_NAME = ("name", "type", "position", "id")
UserReference = uuid.UUID | str


class RowCount(Subquery):
    """The number of rows of a subquery."""

    template = "(SELECT count(*) FROM (%(subquery)s) counted_)"
    output_field = IntegerField()


def _workspaces(
    actor: Actor,
    owner_id: uuid.UUID | None,
    status: str | None,
    limit: int,
    offset: int,
    owner: str,
    name: str,
    template: str,
    agent: str,
) -> OfOneRow:
    """``owner_id`` decides which index is used, and ``status`` whether deleted workspaces count: both have statements
    of their own. The other filters are in each statement; an empty text matches all."""
    rows = Workspace.objects.visible(actor).with_build()
    rows = rows.existing() if status is None else rows.alias(**shown_status()).filter(in_status(status))
    rows = rows if owner_id is None else rows.filter(owner_id=owner_id)
    rows = rows.filter(name_contains(name))
    for text, condition in ((owner, is_owned_by), (template, is_built_from), (agent, has_agent)):
        rows = rows.filter(_is_empty(text) | condition(text))
    page = rows.most_recent_first()[offset : offset + limit]
    callers = User.objects.filter(pk=actor.id) if actor.scope == KeyScope.ALL else User.objects.none()
    answer = {"workspaces": json_list(page, WorkspaceSerializer()), "count": RowCount(rows.order_by().values("pk"))}
    return callers.values_list(JsonObject(answer))


def _is_empty(text: str) -> Q:
    return Q(Exact(Cast(Value(text), TextField()), Value("")))


def _workspace(actor: Actor, workspace_id: uuid.UUID) -> OfOneRow:
    rows = Workspace.objects.visible(actor).with_build().filter(pk=workspace_id)
    return rows.values_list(json_object(WorkspaceSerializer()), "deleted")


def _owned(actor: Actor, owner: UserReference, name: str) -> WorkspaceQuerySet:
    """Return the workspaces of a user with this name."""
    rows = Workspace.objects.visible(actor).with_build().filter(name__iexact=name)
    return rows.filter(owner_id=owner) if isinstance(owner, uuid.UUID) else rows.filter(is_owned_by(owner))


def _workspace_by_name(actor: Actor, owner: UserReference, name: str) -> OfOneRow:
    return _owned(actor, owner, name).existing().values_list(json_object(WorkspaceSerializer()))


def _workspace_by_name_or_deleted(actor: Actor, owner: UserReference, name: str) -> OfOneRow:
    """The existing one, else the one that was created last."""
    rows = _owned(actor, owner, name).order_by("deleted", "-created_at", "id")
    return rows.values_list(json_object(WorkspaceSerializer()))[:1]


def _visible_build(actor: Actor, build_id: uuid.UUID) -> OfOneRow:
    return WorkspaceBuild.objects.visible(actor).filter(pk=build_id)


def _build(actor: Actor, build_id: uuid.UUID) -> OfOneRow:
    return _visible_build(actor, build_id).values_list(json_object(WorkspaceBuildSerializer()))


def _build_by_number(actor: Actor, owner: UserReference, name: str, number: int) -> OfOneRow:
    """The number is compared within the list of builds: an existing workspace without such a build has an empty one."""
    builds = WorkspaceBuild.objects.filter(workspace=OuterRef("pk"), build_number=number)
    return _owned(actor, owner, name).existing().values_list(json_list(builds, WorkspaceBuildSerializer()))


def _resources(actor: Actor, build_id: uuid.UUID) -> OfOneRow:
    rows = WorkspaceResource.objects.filter(job=OuterRef("job_id")).order_by(*BY_NAME)
    return _visible_build(actor, build_id).values_list(json_list(rows, BuildResourceSerializer()), COMPLETED)


def _parameters(actor: Actor, build_id: uuid.UUID) -> OfOneRow:
    rows = BuildParameter.objects.filter(build=OuterRef("pk")).order_by("id")
    return _visible_build(actor, build_id).values_list(json_list(rows, BuildParameterSerializer()))


WORKSPACES = Read(_workspaces)
WORKSPACE = Read(_workspace)
WORKSPACE_BY_NAME = Read(_workspace_by_name)
WORKSPACE_BY_NAME_OR_DELETED = Read(_workspace_by_name_or_deleted)
BUILD = Read(_build)
BUILD_BY_NUMBER = Read(_build_by_number)
RESOURCES = Read(_resources)
PARAMETERS = Read(_parameters)
LOG_OF_BUILD = read_log_of(_visible_build)
JOB_OF_BUILD = LOG_OF_BUILD.visible

# Compiled by a system check (``coderproj.reads.checks``).
READS = [
    WORKSPACES,
    WORKSPACE,
    WORKSPACE_BY_NAME,
    WORKSPACE_BY_NAME_OR_DELETED,
    BUILD,
    BUILD_BY_NUMBER,
    RESOURCES,
    PARAMETERS,
    LOG_OF_BUILD,
    JOB_OF_BUILD,
]
