"""Create and change workspaces."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict

from django.db import IntegrityError, transaction

from coderproj.base.errors import Conflict, DomainError, Invalid, NotFound
from coderproj.database.clock import database_time
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction, Organization, User, UserStatus
from coderproj.identity.rbac import Action, Resource, allowed
from provisioning import parameters
from provisioning.engine.base import Transition
from templates_app.models import Preset, Template
from templates_app.workspaces import due
from templates_app.workspaces.events import announce
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.schedule import checked_schedule
from templates_app.workspaces.services import access, builds, values

MINUTE_MS = 60_000
MIN_TTL_MS = MINUTE_MS
MAX_TTL_MS = 7 * 24 * 60 * MINUTE_MS
# The time that must be left when a deadline is set: clients compute half an hour, a little earlier.
MIN_EXTENSION = timedelta(minutes=29)
MAX_EXTENSION = timedelta(hours=24)


class NotExtendable(Conflict):
    """The deadline cannot be set: the workspace does not run, or has none (409 by contract)."""


@dataclass(frozen=True, slots=True)
class NewWorkspace:
    """A workspace to create. Without ``template_id``, the version's template; without ``version_id``, the template's
    active version. ``ttl_ms`` None or 0 means the template's default, unless ``never_stops``. The values of the preset
    are for parameters without a value in ``rich_values``."""

    name: str
    template_id: uuid.UUID | None = None
    version_id: uuid.UUID | None = None
    autostart_schedule: str = ""
    ttl_ms: int | None = None
    never_stops: bool = False
    rich_values: Sequence[values.NamedValue] = ()
    preset_id: uuid.UUID | None = None
    variables: Sequence[parameters.GivenValue] = ()


def authorize_creation(actor: Actor, organization: Organization, owner: User) -> None:
    """Check that the actor may create workspaces of a user in an organization. Raises NotFound, for a user who is not
    a member as well, and Invalid for a user who is not active."""
    if not owner.memberships.filter(organization=organization).exists():
        raise NotFound
    if not allowed(actor, Action.CREATE, Resource.WORKSPACE, organization_id=organization.pk, owner_id=owner.pk):
        raise NotFound
    if owner.deleted or owner.status != UserStatus.ACTIVE:
        raise Invalid.field("user", f"The user {owner.username} is not active.")


def authorize_creation_anywhere(actor: Actor, owner: User) -> None:
    """Check that the actor may create workspaces of a user in any of the user's organizations. Raises NotFound."""
    organizations = owner.memberships.values_list("organization_id", flat=True)
    if not any(
        allowed(actor, Action.CREATE, Resource.WORKSPACE, organization_id=organization_id, owner_id=owner.pk)
        for organization_id in organizations
    ):
        raise NotFound


def organization_for(actor: Actor, new: NewWorkspace) -> Organization:
    """Return the organization of the template to build from. Raises Invalid and NotFound."""
    return _template(actor, new).organization


def create(actor: Actor, organization: Organization, owner: User, new: NewWorkspace) -> Workspace:
    """Create a workspace and queue its first build, a start.

    Raises like ``authorize_creation``, Invalid on ``template_id``, ``template_version_id``,
    ``template_version_preset_id``, ``ttl_ms`` and ``schedule``, also for what the template forbids, NotFound for a
    template that the actor may not read, Conflict for a taken name, and like ``builds.create``.
    """
    with audit.refused(actor, AuditAction.CREATE, not_created(owner, organization, new.name)):
        return _create(actor, organization, owner, new)


def not_created(owner: User, organization: Organization | None, name: str = "") -> Workspace:
    """Return the object of the audit log's row about a creation that is rejected."""
    return Workspace(id=audit.NOT_CREATED, name=name, owner=owner, organization=organization)


def _create(actor: Actor, organization: Organization, owner: User, new: NewWorkspace) -> Workspace:
    authorize_creation(actor, organization, owner)
    template = _template(actor, new)
    if template.organization_id != organization.pk:
        field = "template_id" if new.template_id is not None else "template_version_id"
        raise Invalid.field(field, "The template belongs to another organization.")
    schedule = checked_schedule(new.autostart_schedule)
    ttl_ms = checked_ttl(new.ttl_ms) if new.ttl_ms else template.default_ttl_ms or None
    if new.never_stops:
        ttl_ms = None
    access.require_creatable(template, "template_id" if new.template_id is not None else "template_version_id")
    access.require_own_times(template, {"schedule": schedule, "ttl_ms": ttl_ms})
    with audit.record(actor, AuditAction.CREATE, accounts=[owner.pk]) as entry:
        # An owner or a template that is deleted at the same time must not get a workspace.
        owner.refresh_from_db(fields=["deleted", "status"])
        authorize_creation(actor, organization, owner)
        rows = Template.objects.existing().select_for_update(of=("self",), no_key=True)
        locked = rows.filter(pk=template.pk).first()
        if locked is None:
            raise Invalid.field("template_id", "The template does not exist.")
        access.require_creatable(locked, "template_id")
        access.require_version(actor, locked, new.version_id)
        workspace = Workspace(
            name=new.name,
            owner=owner,
            organization=organization,
            template=template,
            autostart_schedule=schedule,
            schedule_set_at=database_time() if schedule else None,
            ttl_ms=ttl_ms,
        )
        _save_named(workspace)
        builds.add(
            workspace,
            builds.NewBuild(
                transition=Transition.START,
                version_id=new.version_id,
                rich_values=_with_preset(locked, new),
                variables=new.variables,
            ),
            initiator_id=actor.id,
        )
        entry.after, entry.status_code = workspace, 201
    return workspace


def _with_preset(template: Template, new: NewWorkspace) -> Sequence[values.NamedValue]:
    """Return the given values, and those of the preset. Raises Invalid on ``template_version_preset_id``."""
    if new.preset_id is None:
        return new.rich_values
    version_id = new.version_id or template.active_version_id
    preset = Preset.objects.filter(pk=new.preset_id, template_version=version_id).first()
    if preset is None:
        raise Invalid.field("template_version_preset_id", "The version has no such preset.")
    given = {value.name for value in new.rich_values}
    more = [values.NamedValue(name, value) for name, value in preset.values.items() if name not in given]
    return [*new.rich_values, *more]


def _template(actor: Actor, new: NewWorkspace) -> Template:
    """Return the template to build from. Raises Invalid and NotFound."""
    if new.template_id is None and new.version_id is None:
        raise Invalid.field("template_id", "This field is required.")
    if new.template_id is not None:
        named = Template.objects.filter(pk=new.template_id)
    else:
        named = Template.objects.filter(versions=new.version_id)
    field = "template_id" if new.template_id is not None else "template_version_id"
    template = named.filter(deleted=False).select_related("organization").first()
    if template is None:
        raise Invalid.field(field, "The template does not exist.")
    if not Template.objects.visible(actor).filter(pk=template.pk).exists():
        raise NotFound
    return template


def checked_ttl(ttl_ms: int) -> int:
    """Return a time to live in whole minutes. Raises Invalid on ``ttl_ms``."""
    if ttl_ms < MIN_TTL_MS:
        raise Invalid.field("ttl_ms", "The time until shutdown must be at least one minute.")
    whole = ttl_ms - ttl_ms % MINUTE_MS
    if whole > MAX_TTL_MS:
        raise Invalid.field("ttl_ms", "The time until shutdown must be at most 7 days.")
    return whole


def _save_named(workspace: Workspace, *, update_fields: list[str] | None = None) -> None:
    """Save; a unique constraint decides concurrent uses of a name. Raises Conflict."""
    try:
        with transaction.atomic():
            workspace.save(update_fields=update_fields)
    except IntegrityError as error:
        if "workspaces_workspace_name_unique" not in str(error):
            raise
        raise Conflict.taken("workspace", workspace.name) from None


# ---------------------------------------------------------------------- changes
class NotRenamable(access.WorkspaceGone):
    """A deleted workspace cannot be renamed (405 by contract)."""

    status_code = 405


def authorize_update(actor: Actor, workspace: Workspace) -> None:
    """Check that the actor may change a readable workspace. Raises Forbidden and WorkspaceGone."""
    access.authorize(actor, Action.UPDATE, workspace)


def authorize_rename(actor: Actor, workspace: Workspace) -> None:
    """The same for its name. Raises Forbidden and NotRenamable."""
    try:
        authorize_update(actor, workspace)
    except access.WorkspaceGone:
        raise NotRenamable from None


@audit.records_refusals(AuditAction.WRITE)
def rename(actor: Actor, workspace: Workspace, name: str) -> None:
    """Rename a workspace. Raises Forbidden, NotRenamable, and Conflict for a taken name, which leaves ``workspace`` as
    it is stored."""
    authorize_rename(actor, workspace)
    with audit.record(actor, AuditAction.WRITE, workspace) as entry:
        if workspace.name != name:
            before, workspace.name = workspace.name, name
            try:
                _save_named(workspace, update_fields=["name", "updated_at"])
            except Conflict:
                workspace.name = before
                raise
        entry.after = workspace
    announce(workspace.pk)


def set_schedule(actor: Actor, workspace: Workspace, schedule: str) -> None:
    """Set the times at which the workspace starts by itself; empty for none. Raises like ``set_times``."""
    set_times(actor, workspace, {"schedule": schedule})


def set_ttl(actor: Actor, workspace: Workspace, ttl_ms: int | None) -> None:
    """Set the time from a start to the automatic stop, from the next build on; None or 0 for none. Raises like
    ``set_times``."""
    set_times(actor, workspace, {"ttl_ms": ttl_ms})


class Times(TypedDict, total=False):
    """When a workspace starts and stops by itself. What is left out stays."""

    schedule: str
    ttl_ms: int | None


@audit.records_refusals(AuditAction.WRITE)
def set_times(actor: Actor, workspace: Workspace, times: Times) -> None:
    """Set when the workspace starts and stops by itself. Raises Forbidden, WorkspaceGone, and Invalid on ``schedule``
    and ``ttl_ms``."""
    access.authorize(actor, Action.UPDATE, workspace)
    schedule = checked_schedule(times["schedule"]) if "schedule" in times else None
    ttl_ms = checked_ttl(given) if (given := times.get("ttl_ms")) else None
    changes: access.OwnTimes = {}
    if schedule and schedule != workspace.autostart_schedule:
        changes["schedule"] = schedule
    if "ttl_ms" in times and ttl_ms != workspace.ttl_ms:
        changes["ttl_ms"] = ttl_ms
    access.require_own_times(Template.objects.get(pk=workspace.template_id), changes)
    with audit.record(actor, AuditAction.WRITE, workspace) as entry:
        if schedule is not None:
            workspace.autostart_schedule = schedule
            workspace.schedule_set_at = database_time() if schedule else None
            due.reschedule(workspace, builds.latest_build(workspace))
        if "ttl_ms" in times:
            workspace.ttl_ms = ttl_ms
        workspace.save(update_fields=["autostart_schedule", "schedule_set_at", "ttl_ms", "updated_at"])
        entry.after = workspace
    announce(workspace.pk)


@audit.records_refusals(AuditAction.WRITE)
def extend(actor: Actor, workspace: Workspace, deadline: datetime) -> datetime:
    """Set the time of the automatic stop of a running workspace, and return it.

    Raises Forbidden, WorkspaceGone, NotExtendable, and DomainError for a deadline that is too early or too late.
    """
    access.authorize(actor, Action.UPDATE, workspace)
    with transaction.atomic():
        locked = builds.lock(workspace.pk)
        build = builds.latest_build(locked)
        if build is None or build.transition != Transition.START:
            raise NotExtendable("The workspace must be started to set its deadline.")
        if build.job.completed_at is None:
            raise NotExtendable("The workspace is still starting.")
        if build.deadline is None:
            raise NotExtendable("The workspace has no deadline: it does not stop by itself.")
        if not may_extend(actor, locked):
            raise NotExtendable("The template decides when its workspaces stop.")
        now = database_time()
        if deadline < max(now + MIN_EXTENSION, build.job.completed_at):
            raise DomainError("The new deadline must be at least 30 minutes from now.")
        latest = max(now, build.job.completed_at) + MAX_EXTENSION
        if deadline > latest and not _is_administrator(actor, workspace):
            raise DomainError("The new deadline must be at most 24 hours from now.")
        with audit.record(actor, AuditAction.WRITE, build) as entry:
            WorkspaceBuild.objects.filter(pk=build.pk).update(deadline=deadline)
            build.deadline = deadline
            due.reschedule(locked, build)
            entry.after = build
    announce(workspace.pk)
    return deadline


def may_extend(actor: Actor, workspace: Workspace) -> bool:
    """Return True if the actor, who may update the workspace, may put off its automatic stop."""
    return workspace.template.allow_user_autostop or _is_administrator(actor, workspace)


def _is_administrator(actor: Actor, workspace: Workspace) -> bool:
    """Return True if the actor may update workspaces of other users in this organization."""
    return allowed(actor, Action.UPDATE, Resource.WORKSPACE, organization_id=workspace.organization_id)
