"""The compiled reads of templates and versions: one statement each, with visibility in its WHERE."""

import uuid
from typing import Any

from django.db.models import DateTimeField, Exists, Func, OuterRef, QuerySet, Subquery, Value

from coderproj.accounts.serializers.users import user_context
from coderproj.identity.actor import Actor
from coderproj.identity.models import User
from coderproj.identity.organizations import organization_named
from coderproj.reads.compiled import FinalRead, Read
from coderproj.reads.json_sql import JsonObject
from coderproj.reads.serializers import json_list, json_object
from provisioning.models import ParameterSchema, WorkspaceResource
from provisioning.reads import COMPLETED, OfOneRow, read_log_of
from provisioning.serializers.jobs import ParameterSchemaSerializer, ResourceSerializer
from templates_app.models import DailyCount, RichParameter, Template, TemplateVersion
from templates_app.serializers.templates import (
    DailyUsersSerializer,
    RichParameterSerializer,
    TemplateSerializer,
    TemplateVersionSerializer,
)
from templates_app.statistics.progress import API_DAYS

OrganizationReference = uuid.UUID | str | None
# Midnights after it are those of the last API_DAYS days, including today. In SQL, because a read is compiled once.
API_WINDOW = Func(template=f"now() - interval '{API_DAYS} days'", output_field=DateTimeField())


def _one_template(templates: QuerySet[Template]) -> OfOneRow:
    return templates.values_list(json_object(TemplateSerializer()))


def _as_seen_by(actor: Actor) -> TemplateVersionSerializer:
    """Authors are shown without their memberships in organizations that the actor cannot see."""
    return TemplateVersionSerializer(context=user_context(actor))


def _template(actor: Actor, template_id: uuid.UUID) -> OfOneRow:
    return _one_template(Template.objects.visible_one(actor).with_statistics().filter(pk=template_id))


def _template_by_name(actor: Actor, organization: OrganizationReference, name: str) -> OfOneRow:
    """The organization itself need not be visible: users on the template's access list may read the template."""
    rows = Template.objects.visible_one(actor).with_statistics().filter(name__iexact=name)
    match organization:
        case uuid.UUID():
            return _one_template(rows.filter(organization_id=organization))
        case str():
            return _one_template(rows.filter(organization__name__iexact=organization))
    found = organization_named(actor, organization).values("pk")
    return _one_template(rows.filter(organization_id=Subquery(found[:1])))


def _templates_of_organization(actor: Actor, organization: OrganizationReference) -> OfOneRow:
    rows = Template.objects.visible(actor).filter(organization=OuterRef("pk")).most_used_first()
    return organization_named(actor, organization).values_list(json_list(rows, TemplateSerializer()))


def _visible_version(actor: Actor, version_id: uuid.UUID) -> OfOneRow:
    return TemplateVersion.objects.visible_one(actor).filter(pk=version_id)


def _versions_of_template(
    actor: Actor, template_id: uuid.UUID, after_id: uuid.UUID | None, limit: int | None, offset: int | None
) -> OfOneRow:
    rows = TemplateVersion.objects.filter(template=OuterRef("pk")).listed().order_by("created_at", "id")
    known: Any = Value(True)
    if after_id is not None:
        known = Exists(_visible_version(actor, after_id))
        rows = rows.after_id(after_id)
    if limit is not None:
        rows = rows[offset or 0 : (offset or 0) + limit]
    elif offset is not None:
        rows = rows[offset:]
    template = Template.objects.visible_one(actor).filter(pk=template_id)
    return template.values_list(json_list(rows, _as_seen_by(actor)), known)


def _version(actor: Actor, version_id: uuid.UUID) -> OfOneRow:
    return _visible_version(actor, version_id).values_list(json_object(_as_seen_by(actor)))


def _version_of_template(actor: Actor, template_id: uuid.UUID, name: str) -> OfOneRow:
    template = Template.objects.visible_one(actor).filter(pk=template_id)
    rows = TemplateVersion.objects.filter(template=OuterRef("pk"), name=name)
    return template.values_list(json_list(rows, _as_seen_by(actor)))


def _resources(actor: Actor, version_id: uuid.UUID) -> OfOneRow:
    rows = WorkspaceResource.objects.filter(job=OuterRef("job_id")).order_by(*ResourceSerializer.Meta.list_order)
    return _visible_version(actor, version_id).values_list(json_list(rows, ResourceSerializer()), COMPLETED)


def _schema(actor: Actor, version_id: uuid.UUID) -> OfOneRow:
    rows = ParameterSchema.objects.filter(job=OuterRef("job_id")).order_by("index")
    return _visible_version(actor, version_id).values_list(json_list(rows, ParameterSchemaSerializer()), COMPLETED)


def _rich_parameters(actor: Actor, version_id: uuid.UUID) -> OfOneRow:
    rows = RichParameter.objects.filter(template_version=OuterRef("pk")).order_by("index")
    return _visible_version(actor, version_id).values_list(json_list(rows, RichParameterSerializer()), COMPLETED)


def _daily_users(rows: QuerySet[DailyCount]) -> JsonObject:
    """Return the days as ``DailyActiveUsersSerializer`` writes them."""
    first = rows.filter(day__gt=API_WINDOW, users__gt=0).order_by("day")
    since = rows.filter(day__gte=Subquery(first.values("day")[:1])).order_by("day")
    return JsonObject({"entries": json_list(since, DailyUsersSerializer())})


def _daily_users_of_template(actor: Actor, template_id: uuid.UUID) -> OfOneRow:
    rows = DailyCount.objects.filter(template=template_id)
    return Template.objects.visible_one(actor).filter(pk=template_id).values_list(_daily_users(rows))


def _daily_users_of_all(actor: Actor) -> OfOneRow:
    """For callers who may read the figures of the deployment: the view checks that."""
    rows = DailyCount.objects.filter(template=None)
    return User.objects.filter(pk=actor.id).values_list(_daily_users(rows))


TEMPLATE = Read(_template)
DAILY_USERS_OF_TEMPLATE = Read(_daily_users_of_template)
DAILY_USERS_OF_ALL = Read(_daily_users_of_all)
TEMPLATE_BY_NAME = Read(_template_by_name)
TEMPLATES_OF_ORGANIZATION = Read(_templates_of_organization)
VERSIONS_OF_TEMPLATE = Read(_versions_of_template)
VERSION = Read(_version)
VERSION_OF_TEMPLATE = Read(_version_of_template)
# The results of an import never change after its end, because no lease allows it.
LOG_OF_VERSION = read_log_of(_visible_version)
JOB_OF_VERSION = LOG_OF_VERSION.visible
RESOURCES = FinalRead(_resources, visible=JOB_OF_VERSION)
SCHEMA = FinalRead(_schema, visible=JOB_OF_VERSION)
RICH_PARAMETERS = FinalRead(_rich_parameters, visible=JOB_OF_VERSION)

# Compiled by a system check (``reads.checks``).
READS = [
    TEMPLATE,
    DAILY_USERS_OF_TEMPLATE,
    DAILY_USERS_OF_ALL,
    TEMPLATE_BY_NAME,
    TEMPLATES_OF_ORGANIZATION,
    VERSIONS_OF_TEMPLATE,
    VERSION,
    VERSION_OF_TEMPLATE,
    LOG_OF_VERSION,
    JOB_OF_VERSION,
    RESOURCES,
    SCHEMA,
    RICH_PARAMETERS,
]
