"""The audit log: the audited fields of each model, and ``record``, which writes it."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import models, transaction

from coderproj.base.errors import DomainError, NotFound
from coderproj.base.times import moment_text
from coderproj.identity.actor import Actor
from coderproj.identity.models import (
    ApiKey,
    AuditAction,
    AuditLog,
    GitSSHKey,
    Group,
    GroupMembership,
    Membership,
    Organization,
    User,
)

Snapshot = dict[str, Any]
SECRET = "(secret)"  # noqa: S105 - placeholder for secret values


@dataclass(frozen=True, slots=True)
class Policy:
    """The audit policy of a model. Each field, by attribute name, is tracked, secret or ignored.

    ``target`` is the field shown as the object's name. ``identity`` is the field recorded as ``resource_id``, which
    clients decode as a UUID: models whose primary key is not a UUID use the user's id. ``related`` returns values from
    other tables.
    """

    resource_type: str
    target: str
    tracked: tuple[str, ...]
    secret: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    identity: str = "pk"
    related: Callable[[Any], Snapshot] | None = None


_policies: dict[type[models.Model], Policy] = {}


def declare(model: type[models.Model], policy: Policy) -> None:
    """Register the policy of a model. A test fails for a field that the policy does not list."""
    _policies[model] = policy


def policies() -> Mapping[type[models.Model], Policy]:
    """Return the policies of all audited models."""
    return _policies


def snapshot(instance: models.Model) -> Snapshot:
    """Return the audited fields of an object as JSON values."""
    policy = _policies[type(instance)]
    values = {name: _plain(getattr(instance, name)) for name in (*policy.tracked, *policy.secret)}
    return {**values, **(policy.related(instance) if policy.related else {})}


@dataclass(slots=True)
class Entry:
    """A change that is being recorded. The service sets ``after`` to the changed object, or leaves None for a deletion.

    ``target`` and ``icon`` are the values before the change, because a rejected change does not modify them.
    """

    instance: models.Model | None = None
    target: str = ""
    icon: str = ""
    before: Snapshot = field(default_factory=dict)
    after: models.Model | None = None
    status_code: int = 200


@contextmanager
def record(actor: Actor, action: AuditAction, instance: models.Model | None = None) -> Iterator[Entry]:
    """Run a change and record it in the same transaction. Record a rejected change with its status and without a diff.

    ``instance`` is the object to change, if it exists. It is locked and re-read, so concurrent changes run one after
    the other and none overwrites another. Raises NotFound when it was deleted meanwhile. Records nothing while neither
    ``instance`` nor ``entry.after`` is set.
    """
    entry = Entry()
    try:
        with transaction.atomic():
            if instance is not None:
                _lock(instance)
                entry = Entry(instance, _target(instance), getattr(instance, "icon", ""), snapshot(instance))
            yield entry
            _write(actor, action, entry, _diff(entry))
    except DomainError as error:
        entry.status_code = error.status_code
        entry.after = None if entry.instance is not None else entry.after
        _write(actor, action, entry, {})
        raise


@contextmanager
def refused(actor: Actor, action: AuditAction, instance: models.Model) -> Iterator[None]:
    """Record a change that is rejected before ``record`` starts, by a permission check or validation."""
    try:
        yield
    except Exception as error:
        status_code = getattr(error, "status_code", None)  # DomainError and APIException have it
        if status_code is not None:
            target, icon = _target(instance), getattr(instance, "icon", "")
            _write(actor, action, Entry(instance, target, icon, status_code=status_code), {})
        raise


def _lock(instance: models.Model) -> None:
    """Lock and re-read the row. ``no_key`` lets other transactions insert rows that refer to it."""
    rows = type(instance)._base_manager.select_for_update(of=("self",), no_key=True)  # noqa: SLF001 - Django documents it
    try:
        instance.refresh_from_db(from_queryset=rows)
    except ObjectDoesNotExist:
        raise NotFound from None


def _write(actor: Actor, action: AuditAction, entry: Entry, diff: Snapshot) -> None:
    instance = entry.after or entry.instance
    if instance is None:
        return
    policy = _policies[type(instance)]
    AuditLog.objects.create(
        user_id=actor.id,
        username=actor.username,
        organization_id=getattr(instance, "organization_id", None),
        ip=actor.client.ip,
        user_agent=actor.client.user_agent,
        resource_type=policy.resource_type,
        resource_id=str(getattr(instance, policy.identity)),
        resource_target=_target(instance) if entry.after else entry.target,
        resource_icon=getattr(instance, "icon", "") if entry.after else entry.icon,
        action=action,
        diff=diff,
        status_code=entry.status_code,
        request_id=actor.client.request_id,
    )


def _target(instance: models.Model) -> str:
    return str(getattr(instance, _policies[type(instance)].target))[:256]


def _diff(entry: Entry) -> Snapshot:
    instance = entry.after or entry.instance
    if instance is None:
        return {}
    secret = _policies[type(instance)].secret
    after = snapshot(entry.after) if entry.after is not None else {}
    changes: Snapshot = {}
    for name in {**entry.before, **after}:
        old, new = entry.before.get(name), after.get(name)
        if old == new:
            continue
        if name in secret:
            changes[name] = {"old": SECRET if old else "", "new": SECRET if new else "", "secret": True}
        else:
            changes[name] = {"old": old, "new": new, "secret": False}
    return changes


def _plain(value: Any) -> Any:
    match value:
        case uuid.UUID():
            return str(value)
        case datetime():
            return moment_text(value)
        case bytes() | memoryview():
            return bytes(value).hex()
    return value


def _group_members(group: Group) -> Snapshot:
    members = GroupMembership.objects.filter(group=group).values_list("user_id", flat=True)
    return {"members": sorted(map(str, members))}


declare(
    User,
    Policy(
        "user",
        target="username",
        tracked=(
            "id",
            "username",
            "email",
            "name",
            "avatar_url",
            "status",
            "site_roles",
            "login_type",
            "deleted",
        ),
        secret=("password",),
        ignored=("last_login", "last_seen_at", "created_at", "updated_at"),
    ),
)
declare(
    Organization,
    Policy(
        "organization",
        target="name",
        tracked=("id", "name", "display_name", "description", "icon", "is_default"),
        ignored=("created_at", "updated_at"),
    ),
)
declare(
    Group,
    Policy(
        "group",
        target="name",
        tracked=("id", "name", "organization_id", "avatar_url", "quota_allowance"),
        ignored=("created_at", "updated_at"),
        related=_group_members,
    ),
)
declare(
    Membership,
    Policy(
        "organization_member",
        target="user",
        identity="user_id",
        tracked=("organization_id", "user_id", "roles"),
        ignored=("id", "created_at", "updated_at"),
    ),
)
declare(
    GitSSHKey,
    Policy(
        "git_ssh_key",
        target="user_id",
        identity="user_id",
        tracked=("user_id", "public_key"),
        secret=("encrypted_private_key",),
        ignored=("created_at", "updated_at"),
    ),
)
declare(
    ApiKey,
    Policy(
        "api_key",
        target="id",
        identity="user_id",
        tracked=("id", "user_id", "name", "login_type", "scope", "lifetime_seconds"),
        secret=("hashed_secret",),
        ignored=("last_used", "ip_address", "expires_at", "created_at", "updated_at"),
    ),
)
