"""The audit log: the audited fields of each model, and ``record``, which writes it."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import models, transaction

from coderproj.base.contributions import contributions
from coderproj.base.errors import DomainError, NotFound
from coderproj.base.times import moment_text
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction, AuditLog

Snapshot = dict[str, Any]
SECRET = "(secret)"  # noqa: S105 - placeholder for secret values


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """The audit policy of a model; apps contribute theirs as ``audit_policies``. A test fails for a field that is not
    listed: each field, by attribute name, is tracked, secret or ignored.

    ``target`` is the field shown as the object's name. ``identity`` is the field recorded as ``resource_id``, which
    clients decode as a UUID: models whose primary key is not a UUID use the user's id. ``related`` returns values from
    other tables.
    """

    model: type[models.Model]
    resource_type: str
    target: str
    tracked: tuple[str, ...]
    secret: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    identity: str = "pk"
    related: Callable[[Any], Snapshot] | None = None


def policies() -> Mapping[type[models.Model], Policy]:
    """Return the policies of all audited models, by model."""
    return _by_model(contributions("audit_policies"))


@cache
def _by_model(declared: tuple[Policy, ...]) -> Mapping[type[models.Model], Policy]:
    return {policy.model: policy for policy in declared}


def snapshot(instance: models.Model) -> Snapshot:
    """Return the audited fields of an object as JSON values."""
    policy = policies()[type(instance)]
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
    policy = policies()[type(instance)]
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
    return str(getattr(instance, policies()[type(instance)].target))[:256]


def _diff(entry: Entry) -> Snapshot:
    instance = entry.after or entry.instance
    if instance is None:
        return {}
    secret = policies()[type(instance)].secret
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
