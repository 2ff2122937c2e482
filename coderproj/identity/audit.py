"""The audit log: the audited fields of each model, and ``record``, which writes it."""

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, wraps
from typing import Any, TypeVar, cast

from django.core.exceptions import ObjectDoesNotExist
from django.db import models, transaction
from django.db.models.functions import Now

from coderproj.base.contributions import contributions
from coderproj.base.errors import DomainError, NotFound
from coderproj.base.identifiers import NIL
from coderproj.base.times import moment_text
from coderproj.identity.actor import Actor, Client
from coderproj.identity.models import ApiKey, AuditAction, AuditLog, User

Snapshot = dict[str, Any]
# Bounds of the rows about failed sign-ins.
FAILED_PER_ACCOUNT = 20
FAILED_PER_HOUR = 500
FAILED_KEPT = 10_000
# Bounds of the rows about refused changes, for each actor.
REFUSED_PER_HOUR = 100
REFUSED_KEPT = 10_000
UNKNOWN_ACCOUNT = "unknown account"
SECRET = "(secret)"  # noqa: S105 - placeholder for secret values
# The attribute of exceptions whose rejection is in the log.
RECORDED = "is_recorded"
# The id of an object that was not created, in the row about its rejected creation.
NOT_CREATED = NIL

ServiceT = TypeVar("ServiceT", bound=Callable[..., Any])


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
def record(
    actor: Actor, action: AuditAction, instance: models.Model | None = None, *, accounts: Collection[uuid.UUID] = ()
) -> Iterator[Entry]:
    """Run a change and record it in the same transaction. Record a rejected change with its status and without a diff,
    as ``refused`` does.

    ``instance`` is the object to change, if it exists. It is locked and re-read, so concurrent changes run one after
    the other and none overwrites another. Raises NotFound when it was deleted meanwhile. Records nothing while neither
    ``instance`` nor ``entry.after`` is set. ``accounts`` are users whose rows are locked first: changes of passwords,
    status and keys of a user run one after the other.
    """
    entry = Entry()
    try:
        with transaction.atomic():
            lock_accounts(accounts)
            if instance is not None:
                _lock(instance)
                entry = Entry(instance, _target(instance), getattr(instance, "icon", ""), snapshot(instance))
            yield entry
            _write(actor, action, entry, _diff(entry))
    except DomainError as error:
        entry.after = None if entry.instance is not None else entry.after
        _write_refusal(actor, action, entry, error)
        raise


@contextmanager
def refused(actor: Actor, action: AuditAction, instance: models.Model) -> Iterator[None]:
    """Record a change that is rejected before ``record`` starts, by a permission check or validation.

    Each rejection is recorded once, by the innermost ``record`` or ``refused``, so blocks can be nested: a service
    records what it rejects, and a view what it rejects before it calls the service. The block must not be inside of a
    transaction that the rejection rolls back. ``instance`` of a rejected creation has the id ``NOT_CREATED``.
    """
    entry = Entry(instance, _target(instance), getattr(instance, "icon", ""))
    try:
        yield
    except Exception as error:
        _write_refusal(actor, action, entry, error)
        raise


def records_refusals(action: AuditAction) -> Callable[[ServiceT], ServiceT]:
    """Decorate a service whose first arguments are the actor and the object to change: ``refused`` for all of it."""

    def decorate(service: ServiceT) -> ServiceT:
        @wraps(service)
        def run(actor: Actor, instance: models.Model, /, *args: Any, **options: Any) -> Any:
            with refused(actor, action, instance):
                return service(actor, instance, *args, **options)

        return cast("ServiceT", run)

    return decorate


def record_refusal(actor: Actor, action: AuditAction, instance: models.Model, error: Exception) -> None:
    """Record a change that ``error`` rejected, as ``refused`` does."""
    _write_refusal(actor, action, Entry(instance, _target(instance), getattr(instance, "icon", "")), error)


def record_failed_sign_in(user: User | None, client: Client) -> None:
    """Record a wrong password for a user, or any for an unknown account, whose address is not stored.

    The number of rows is bounded, because every caller can cause them: per hour for each account and for all, and in
    total, where the oldest give way.
    """
    failed = AuditLog.objects.filter(action=AuditAction.LOGIN, status_code=401)
    recent = failed.filter(time__gt=Now() - timedelta(hours=1))
    user_id = user.pk if user else None
    if recent.filter(user_id=user_id).count() >= FAILED_PER_ACCOUNT or recent.count() >= FAILED_PER_HOUR:
        return
    AuditLog.objects.create(
        user_id=user_id,
        username=user.username if user else "",
        ip=client.ip,
        user_agent=client.user_agent,
        resource_type=policies()[ApiKey].resource_type,
        resource_id=str(user_id or NIL),
        resource_target=user.username if user else UNKNOWN_ACCOUNT,
        action=AuditAction.LOGIN,
        status_code=401,
        request_id=client.request_id,
    )
    surplus = failed.order_by("-time").values("pk")[FAILED_KEPT : FAILED_KEPT + FAILED_PER_HOUR]
    AuditLog.objects.filter(pk__in=list(surplus.values_list("pk", flat=True))).delete()


def record_outcome(
    *,
    instance: models.Model,
    action: AuditAction,
    user_id: uuid.UUID,
    organization_id: uuid.UUID | None,
    diff: Snapshot,
    status_code: int,
    request_id: uuid.UUID,
    additional_fields: Snapshot,
) -> None:
    """Record how something ended that a user began earlier. ``request_id`` is that of what has ended."""
    policy = policies()[type(instance)]
    AuditLog.objects.create(
        user_id=user_id,
        username=User.objects.values_list("username", flat=True).get(pk=user_id),
        organization_id=organization_id,
        resource_type=policy.resource_type,
        resource_id=str(getattr(instance, policy.identity)),
        resource_target=_target(instance),
        action=action,
        diff=diff,
        status_code=status_code,
        request_id=request_id,
        additional_fields=additional_fields,
    )


def _lock(instance: models.Model) -> None:
    """Lock and re-read the row. ``no_key`` lets other transactions insert rows that refer to it."""
    rows = type(instance)._base_manager.select_for_update(of=("self",), no_key=True)  # noqa: SLF001 - Django documents it
    try:
        instance.refresh_from_db(from_queryset=rows)
    except ObjectDoesNotExist:
        raise NotFound from None
    if getattr(instance, "deleted", False):  # users and templates keep their row
        raise NotFound


def lock_accounts(user_ids: Collection[uuid.UUID]) -> None:
    """Lock the rows of these users until the transaction ends, in one order, so that two callers cannot deadlock."""
    if user_ids:
        rows = User.objects.select_for_update(no_key=True).filter(pk__in=sorted(set(user_ids))).order_by("pk")
        list(rows.values_list("pk"))


def _write_refusal(actor: Actor, action: AuditAction, entry: Entry, error: Exception) -> None:
    """Record a rejection, unless that was done for the same exception.

    The number of rows is bounded for each actor, because everyone who can read an object can cause them: per hour,
    where further ones are not recorded, and in total, where the actor's oldest give way. Changes are always recorded.
    """
    status_code = getattr(error, "status_code", None)  # DomainError and APIException have it
    if status_code is None or getattr(error, RECORDED, False) or (entry.after or entry.instance) is None:
        return
    entry.status_code = status_code
    setattr(error, RECORDED, True)
    # Neither failed sign-ins, which others can cause, nor how builds ended, which has additional fields.
    rows = AuditLog.objects.filter(user_id=actor.id, status_code__gte=400, additional_fields={})
    rows = rows.exclude(action=AuditAction.LOGIN)
    recent = rows.filter(time__gt=Now() - timedelta(hours=1))
    if recent[:REFUSED_PER_HOUR].count() >= REFUSED_PER_HOUR:
        return
    _write(actor, action, entry, {})
    surplus = rows.order_by("-time").values("pk")[REFUSED_KEPT : REFUSED_KEPT + REFUSED_PER_HOUR]
    AuditLog.objects.filter(pk__in=list(surplus.values_list("pk", flat=True))).delete()


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
