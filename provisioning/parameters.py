"""Legacy parameters: the values of Terraform variables."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from coderproj.base.contributions import contributions
from coderproj.base.errors import Conflict, NotFound
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction
from coderproj.identity.rbac import Action
from provisioning.engine import base
from provisioning.models import (
    DestinationScheme,
    ParameterSchema,
    ParameterScope,
    ParameterValue,
    SourceScheme,
)


@dataclass(frozen=True, slots=True)
class ComputedValue:
    """The effective value of a variable. ``id`` and the times are those of the stored value, or of the schema when the
    value is its default."""

    id: uuid.UUID
    created_at: datetime
    updated_at: datetime
    scope: str
    scope_id: uuid.UUID
    schema: ParameterSchema
    source_scheme: str
    source_value: str
    destination_scheme: str
    default_source_value: bool

    @property
    def name(self) -> str:
        return self.schema.name


def compute(
    job_id: uuid.UUID, *, template_id: uuid.UUID | None = None, given: Mapping[str, str] | None = None
) -> list[ComputedValue]:
    """Return the values of the variables that an import job found, in source order.

    The precedence, lowest first: defaults, values of the import job, values of the template, ``given`` (of a dry run).
    A ``given`` value does not replace the value of a sensitive variable. Names without a schema are left out. Runs two
    queries.
    """
    schemas = {schema.name: schema for schema in ParameterSchema.objects.filter(job_id=job_id).order_by("index")}
    scopes = [job_id] if template_id is None else [job_id, template_id]
    stored = ParameterValue.objects.filter(scope_id__in=scopes)
    computed: dict[str, ComputedValue] = {}
    values = sorted(stored, key=lambda value: scopes.index(value.scope_id))
    for value in values:
        if value.scope == ParameterScope.IMPORT_JOB and value.name in schemas:
            computed[value.name] = _stored(schemas[value.name], value)
    for name, schema in schemas.items():
        if name not in computed and schema.default_source_scheme == SourceScheme.DATA:
            computed[name] = _default(schema)
    for value in values:
        if value.scope == ParameterScope.TEMPLATE and value.name in schemas:
            computed[value.name] = _stored(schemas[value.name], value)
    for name, text in (given or {}).items():
        overridden = schemas.get(name)
        if overridden and (overridden.allow_override_source or name not in computed):
            computed[name] = _given(overridden, text)
    return [computed[name] for name in schemas if name in computed]


def for_engine(values: Iterable[ComputedValue]) -> tuple[base.ParameterValue, ...]:
    """Convert the values to the engine's type."""
    return tuple(
        base.ParameterValue(
            name=value.name,
            value=value.source_value,
            destination=value.destination_scheme,
            sensitive=not value.schema.redisplay_value,
        )
        for value in values
    )


def first_missing(job_id: uuid.UUID, values: Sequence[base.ParameterValue]) -> str | None:
    """Return the name of the job's first required variable without a value, None if all have one."""
    names = {value.name for value in values}
    schemas = ParameterSchema.objects.filter(job_id=job_id, default_is_null=False).order_by("index")
    return next((name for name in schemas.values_list("name", flat=True) if name not in names), None)


@dataclass(frozen=True, slots=True)
class GivenValue:
    """A value in a request: literal, or a copy of the stored value with the id ``copy_from``."""

    name: str = ""
    source_value: str = ""
    source_scheme: str = SourceScheme.DATA
    destination_scheme: str = DestinationScheme.PROVISIONER_VARIABLE
    copy_from: uuid.UUID | None = None


def store(
    scope: ParameterScope,
    scope_id: uuid.UUID,
    given: Sequence[GivenValue],
    *,
    copyable_jobs: Iterable[uuid.UUID] = (),
) -> None:
    """Store the values of a request. Values of scheme ``none`` mean "no value" and are left out.

    A value can be copied only from the import jobs ``copyable_jobs``. Unknown ids are ignored, as in the contract, and
    so are ids of values from other jobs, to not reveal that they exist. Raises Conflict for a name given twice, on
    ``parameter_values[1].name`` for the second value.
    """
    wanted = [value.copy_from for value in given if value.copy_from]
    sources = {value.pk: value for value in ParameterValue.objects.filter(pk__in=wanted)}
    allowed = set(copyable_jobs) if sources else set()
    rows: dict[str, ParameterValue] = {}
    for index, value in enumerate(given):
        row = ParameterValue(scope=scope, scope_id=scope_id)
        if value.copy_from:
            source = sources.get(value.copy_from)
            if source is None or source.scope != ParameterScope.IMPORT_JOB or source.scope_id not in allowed:
                continue
            row.name, row.source_value = source.name, source.source_value
            row.source_scheme, row.destination_scheme = source.source_scheme, source.destination_scheme
        elif value.source_scheme == SourceScheme.NONE:
            continue
        else:
            row.name, row.source_value = value.name, value.source_value
            row.source_scheme, row.destination_scheme = value.source_scheme, value.destination_scheme
        if row.name in rows:
            raise Conflict.taken("parameter value", row.name, field=f"parameter_values[{index}].name")
        rows[row.name] = row
    ParameterValue.objects.bulk_create(rows.values())


def _stored(schema: ParameterSchema, value: ParameterValue) -> ComputedValue:
    return ComputedValue(
        id=value.pk,
        created_at=value.created_at,
        updated_at=value.updated_at,
        scope=value.scope,
        scope_id=value.scope_id,
        schema=schema,
        source_scheme=value.source_scheme,
        source_value=value.source_value,
        destination_scheme=value.destination_scheme,
        default_source_value=False,
    )


def _default(schema: ParameterSchema) -> ComputedValue:
    return ComputedValue(
        id=schema.pk,
        created_at=schema.created_at,
        updated_at=schema.created_at,
        scope=ParameterScope.IMPORT_JOB,
        scope_id=schema.job_id,
        schema=schema,
        source_scheme=schema.default_source_scheme,
        source_value=schema.default_source_value,
        destination_scheme=schema.default_destination_scheme,
        default_source_value=True,
    )


def _given(schema: ParameterSchema, text: str) -> ComputedValue:
    return ComputedValue(
        id=schema.pk,
        created_at=schema.created_at,
        updated_at=schema.created_at,
        scope=ParameterScope.WORKSPACE,
        scope_id=schema.job_id,
        schema=schema,
        source_scheme=SourceScheme.DATA,
        source_value=text,
        destination_scheme=schema.default_destination_scheme,
        default_source_value=False,
    )


def template_id_of(job_input: Mapping[str, Any]) -> uuid.UUID | None:
    """Return the id of the template whose values apply to a job with this input, None if it names none."""
    template_id = job_input.get("template_id")
    return uuid.UUID(template_id) if template_id else None


# ---------------------------------------------------------------------- stored values, one by one
@dataclass(frozen=True, slots=True)
class ScopeRule:
    """The access rule for the values of a scope. The app that owns the scope's objects contributes it as
    ``parameter_scopes``. ``authorize`` raises NotFound or Forbidden unless the actor may do the action with the values
    of the object with that id."""

    scope: ParameterScope
    authorize: Callable[[Actor, Action, uuid.UUID], None]


def authorize(actor: Actor, action: Action, scope: ParameterScope, scope_id: uuid.UUID) -> None:
    """Check the actor's access. Raises NotFound and Forbidden; a scope without a rule is not found."""
    rules: tuple[ScopeRule, ...] = contributions("parameter_scopes")
    rule = next((rule for rule in rules if rule.scope == scope), None)
    if rule is None:
        raise NotFound
    rule.authorize(actor, action, scope_id)


def stored(scope: ParameterScope, scope_id: uuid.UUID) -> QuerySet[ParameterValue]:
    """Return the values of a scope, by name."""
    return ParameterValue.objects.filter(scope=scope, scope_id=scope_id).order_by("name")


def create(
    actor: Actor,
    scope: ParameterScope,
    scope_id: uuid.UUID,
    *,
    name: str,
    source_value: str,
    source_scheme: str,
    destination_scheme: str,
) -> ParameterValue:
    """Store a value. Raises NotFound, Forbidden, and Conflict when the scope has a value of that name."""
    authorize(actor, Action.UPDATE, scope, scope_id)
    with audit.record(actor, AuditAction.CREATE) as entry:
        value = ParameterValue(
            scope=scope,
            scope_id=scope_id,
            name=name,
            source_value=source_value,
            source_scheme=source_scheme,
            destination_scheme=destination_scheme,
        )
        try:
            with transaction.atomic():
                value.save(force_insert=True)
        except IntegrityError:
            raise Conflict.taken("parameter value", name) from None
        entry.after, entry.status_code = value, 201
    return value


def delete(actor: Actor, scope: ParameterScope, scope_id: uuid.UUID, name: str) -> None:
    """Delete the value of that name. Raises NotFound and Forbidden."""
    authorize(actor, Action.UPDATE, scope, scope_id)
    value = stored(scope, scope_id).filter(name=name).first()
    if value is None:
        raise NotFound
    with audit.record(actor, AuditAction.DELETE, value):
        if not ParameterValue.objects.filter(pk=value.pk).delete()[0]:
            raise NotFound
