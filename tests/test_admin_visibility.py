"""The admin shows a user nothing that the API does not give the same user: every field of every table, for every role.

Each text in the database is a unique marker. All pages of the admin and all reads of the API are opened as the same
user; every marker in the admin must be in a response of the API.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from coderproj.api.permissions import Public, SignedIn
from coderproj.api.serializers import AnswerSerializer
from coderproj.console.admin import ReadOnlyAdmin
from coderproj.identity import git_keys, tokens
from coderproj.identity.actor import Actor
from coderproj.identity.models import ApiKey, AuditLog, Group, LoginType, Organization, User
from provisioning.engine import base
from provisioning.log import writing
from provisioning.models import File, ParameterScope, ParameterValue, ProvisionerDaemon, ProvisionerJob, ProvisionerKey
from provisioning.queue import jobs
from templates_app.job_kinds import JobType
from templates_app.models import Template, TemplateVersion
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from tests.api import ApiClient
from tests.factories import finish, make_file, make_job, make_organization, make_template, make_user
from tests.pages import browser
from tests.routes import api_routes
from tests.world import PARAMETER, import_result, make_world

pytestmark = pytest.mark.django_db

OURS = ("identity", "provisioning", "templates_app", "workspaces", "agents")
MARKER = re.compile(r"zq[0-9]{6}")
PAGES_OF_A_ROW = ("change", "history", "delete")
# Nobody changes rows of read-only tables, so their other pages are the same for all of them.
PAGES_OF_FURTHER_READ_ONLY_ROWS = ("change",)
TEXTS = (models.CharField, models.TextField, models.JSONField)

# For owners only: facts about how the server runs things, and the full name, which owners change by the API.
OPERATIONAL = {
    "AgentStatistic": {
        "created_at",
        "agent",
        "workspace",
        "template",
        "user",
        "connections_by_protocol",
        "connections",
        "rx_packets",
        "rx_bytes",
        "tx_packets",
        "tx_bytes",
    },
    "User": {"name"},
    "ProvisionerDaemon": {"hostname", "concurrency", "engine", "sandbox", "key", "stopped_at"},
    "Membership": {"created_at"},
    "Workspace": {
        *("schedule_set_at", "due_at", "last_due_at", "failed_stops", "stop_tried_at", "deleted", "organization"),
    },
}
# Facts about rows that the API gives the same user, but not as fields. Files: it gives their bytes. Presets: with other
# names.
DERIVED = {
    "ApiKey": {"name"},
    "File": {"hash", "size", "mimetype", "created_by", "created_at"},
    "GroupMembership": {"group", "user"},
    "ParameterValue": {"created_at", "updated_at", "source_scheme", "destination_scheme", "name", "scope", "scope_id"},
    "ProvisionerJob": {"provisioner", "priority", "attempts", "organization", "initiator", "type", "log"},
    "ProvisionerDaemon": {"state", "last_seen_at"},
    "ProvisionerKey": {"revoked_at"},
    "Preset": {"template_version", "name", "description", "icon", "is_default", "parameters", "prebuilds"},
    "RichParameter": {"template_version"},
    "VersionHtml": {"version", "renderer"},
    "TemplateAccess": {"template", "user", "group", "role"},
    "User": {"site_roles"},
    "AuditLog": {"user_id", "username"},
    "WorkspaceResourceMetadata": {"resource"},
    "BuildParameter": {"build"},
    "WorkspaceApp": {"agent", "healthcheck_url", "healthcheck_interval", "healthcheck_threshold"},
    "WorkspaceAgent": {"auth_instance_id"},
}

ROLES = {
    "owner": {"site_roles": ("owner",)},
    "template-admin": {"site_roles": ("template-admin",)},
    "user-admin": {"site_roles": ("user-admin",)},
    "auditor": {"site_roles": ("auditor",)},
    "member": {},
    "organization admin": {"organization_roles": ("organization-admin",)},
    "auditor in an organization": {"site_roles": ("auditor",), "organization_roles": ()},
    "auditor who administers an organization": {
        "site_roles": ("auditor",),
        "organization_roles": ("organization-admin",),
    },
    "auditor and template-admin": {"site_roles": ("auditor", "template-admin")},
    "auditor and user-admin": {"site_roles": ("auditor", "user-admin")},
}


def tables() -> dict[type[models.Model], admin.ModelAdmin]:
    api_routes()  # loads the routes, which register the admin classes
    return {model: table for model, table in admin.site._registry.items() if model._meta.app_label in OURS}


# ---------------------------------------------------------------------- a deployment full of markers
def make_marked_world(role: str) -> User:
    """Create rows of several users and organizations, mark them, and return a user with the role."""
    world = make_world(1)
    for job in ProvisionerJob.objects.waiting():
        jobs.cancel(job.pk)  # a waiting job would be claimed in place of the next one
    organization = Organization.objects.get(pk=world.values["organization"])
    other = make_organization("other")
    stranger = make_user("stranger", organizations=(other,), organization_roles=("organization-admin",))
    hidden = make_template(user=stranger, organization=other, everyone=False, result=import_result(1))
    private = make_template(user=world.owner, organization=organization, everyone=False, result=import_result(1))
    fields = ROLES[role]
    inside = "organization_roles" in fields or role == "member"
    user = make_user("reader", **fields, organizations=(organization,) if inside else ())
    for initiator, template in ((stranger, hidden), (world.owner, private)):
        version = str(template.active_version_id)
        for ends in (True, False):
            job = make_job(
                user=initiator,
                organization=template.organization,
                job_input={"template_version_id": version, "parameter_values": [{"name": "n", "value": "v"}]},
            )
            if ends:
                finish(job, result=import_result(1).start)
                writing.note(job, base.LogLevel.INFO, "line")
            else:
                ProvisionerJob.objects.filter(pk=job.pk).update(tags={"scope": "organization", "place": "elsewhere"})
        tokens.issue(user=initiator, login_type=LoginType.TOKEN, name="token")
        git_keys.git_ssh_key(Actor.of(initiator), initiator)
        ParameterValue.objects.create(
            scope=ParameterScope.IMPORT_JOB, scope_id=template.active_version.job_id, name="n", source_value="v"
        )
    git_keys.git_ssh_key(Actor.of(user), user)
    make_file(stranger, b"of the stranger")
    # The API lists only daemons that were seen recently; this test may take longer than that.
    ProvisionerDaemon.objects.update(last_seen_at=timezone.now() + timedelta(hours=1))
    mark_everything()
    return User.objects.get(pk=user.pk)


def mark_everything() -> None:
    """Give every text of every row a unique value."""
    numbers = itertools.count(1)
    for label in OURS:
        for model in apps.get_app_config(label).get_models():
            for row in model._default_manager.all():
                changes = {
                    field.attname: marked(field, getattr(row, field.attname), f"zq{next(numbers):06d}")
                    for field in model._meta.concrete_fields
                    if is_marked(model, field) and not (field.name == "error" and may_not_fail(row))
                }
                if changes:
                    model._default_manager.filter(pk=row.pk).update(**changes)
    for user in User.objects.all():  # the API shows the current name of a user who is visible
        AuditLog.objects.filter(user_id=user.pk).update(username=user.username)


def may_not_fail(job: ProvisionerJob) -> bool:
    """Return True for a job that needs its result: only ended dry runs fail here."""
    return job.completed_at is None or job.type != JobType.DRY_RUN


def is_marked(model: type[models.Model], field: models.Field) -> bool:
    fixed = field.primary_key or field.remote_field or field.choices or model in {File}
    generic = {"level", "source", "login_type", "storage_method", "ended_as", "password", "validation_type_system"}
    long_enough = getattr(field, "max_length", None) is None or field.max_length >= 10
    return isinstance(field, TEXTS) and not fixed and field.name not in generic and long_enough


def marked(field: models.Field, value: object, marker: str) -> object:
    match field:
        case models.EmailField():
            return f"{marker}@example.test"
        case models.JSONField():
            if isinstance(value, dict):
                return {**value, marker: marker, **({"parameter_values": [marker]} if field.name == "input" else {})}
            return (
                [{"name": marker, "description": "", "value": marker, "icon": ""}]
                if field.name == "options"
                else [marker]
            )
    return marker


# ---------------------------------------------------------------------- what both give
def given_by_the_api(user: User) -> Iterator[set[str]]:
    """Yield the markers in each response of the API to all reads."""
    values = {
        "organization": ids(Organization),
        "template": ids(Template),
        "templateversion": ids(TemplateVersion),
        "job_id": ids(ProvisionerJob),
        "user": ids(User),
        "workspace": ids(Workspace),
        "workspacebuild": ids(WorkspaceBuild),
        "group": ids(Group),
        "key": ids(ApiKey),
        "file": ids(File),
        "scope": [ParameterScope.TEMPLATE.value, ParameterScope.IMPORT_JOB.value],
        "id": [*ids(Template), *ids(ProvisionerJob)],
        "name": [
            *ProvisionerKey.objects.values_list("name", flat=True),
            *ApiKey.objects.values_list("name", flat=True),
        ],
    }
    client = ApiClient(user)
    for route in api_routes():
        names = PARAMETER.findall(route.pattern)
        if "GET" not in route.methods or not {SignedIn, Public} & route.permissions or not set(names) <= values.keys():
            continue
        for chosen in itertools.product(*(values[name] for name in names)):
            path = route.pattern
            for name, value in zip(names, chosen, strict=True):
                path = re.sub(rf"<(\w+:)?{name}>", value, path)
            answer = client.get(path)
            assert answer.status_code < 500, path
            if answer.status_code == 200:
                yield markers(answer.raw.decode("utf-8", "replace"))


def ids(model: type[models.Model]) -> list[str]:
    return [str(pk) for pk in model._default_manager.values_list("pk", flat=True)]


def pages_of_the_admin() -> Iterator[str]:
    yield reverse("admin:index")
    yield f"{reverse('admin:autocomplete')}?app_label=identity&model_name=membership&field_name=user&term=zq"
    for model, table in tables().items():
        base_name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{base_name}_changelist")
        yield reverse(f"{base_name}_changelist") + "?q=zq"
        for number, pk in enumerate(ids(model)):
            is_further = number and isinstance(table, ReadOnlyAdmin)
            kinds = PAGES_OF_FURTHER_READ_ONLY_ROWS if is_further else PAGES_OF_A_ROW
            for page in kinds:
                try:
                    yield reverse(f"{base_name}_{page}", args=[pk])
                except NoReverseMatch:
                    continue


def shown_by_the_admin(user: User) -> dict[str, str]:
    """Return the markers in all pages of the admin, with one of the pages."""
    client, found = browser(user), {}
    for url in pages_of_the_admin():
        answer = client.get(url)
        assert answer.status_code in {200, 302, 403}, url
        if answer.status_code == 200:
            # The console's frame shows the name of the signed-in user.
            found.update(dict.fromkeys(markers(answer.content.decode()), url))
    return found


def markers(text: str) -> set[str]:
    return set(MARKER.findall(text))


def places_of(found: Iterable[str]) -> dict[str, str]:
    """Return ``Model.field`` of markers."""
    wanted, places = set(found), {}
    for label in OURS:
        for model in apps.get_app_config(label).get_models():
            for row in model._default_manager.values():
                for name, value in row.items():
                    places.update(dict.fromkeys(markers(str(value)) & wanted, f"{model.__name__}.{name}"))
    return places


@pytest.mark.promise("S20", "A2")
@pytest.mark.parametrize("role", ROLES)
def test_the_admin_shows_no_more_than_the_api(role, measured):
    user = make_marked_world(role)
    shown = shown_by_the_admin(user)
    assert bool(shown) == user.is_staff
    exempt = OPERATIONAL if "owner" in user.site_roles else {}
    missing = {
        marker: place
        for marker, place in places_of(shown).items()
        if place.partition(".")[2] not in exempt.get(place.partition(".")[0], ())
    }
    for given in given_by_the_api(user):
        if not missing:
            break
        for marker in given & missing.keys():
            del missing[marker]
    exceeding = {place: shown[marker] for marker, place in missing.items()}
    measured.add(roles=1, fields=len(exceeding))
    assert exceeding == {}
    assert len(shown) > (100 if role == "owner" else 20 if user.is_staff else -1)


@pytest.mark.promise("S20", "A2")
def test_every_field_of_the_admin_is_a_field_of_the_api():
    """Numbers, times and flags, which the markers do not cover."""
    registered = tables()
    documented: dict[type, set[str]] = {}
    for serializer in subclasses(AnswerSerializer):
        model = getattr(getattr(serializer, "Meta", None), "model", None)
        if model is not None:
            documented.setdefault(model, set()).update(name.removesuffix("_id") for name in serializer.Meta.fields)
    for model, table in registered.items():
        extra = OPERATIONAL.get(model.__name__, set()) | DERIVED.get(model.__name__, set())
        known = documented.get(model, set()) | extra
        names = {field.name for field in model._meta.fields} & {*table.fields, *table.list_display}
        assert {name for name in names if not {name, name.removesuffix("_id")} & known} == set(), model
        assert OPERATIONAL.get(model.__name__, set()) <= table.owner_fields, model


def subclasses(cls: type) -> set[type]:
    return {cls} | {found for child in cls.__subclasses__() for found in subclasses(child)}


@pytest.mark.promise("S20")
@pytest.mark.parametrize("role", ["owner", "auditor"])
def test_no_field_can_be_guessed_by_a_filter_in_the_address(role):
    user = make_marked_world(role)
    client = browser(user)
    for model in tables():
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for field in model._meta.fields:
            assert client.get(url, {f"{field.name}__startswith": "a"}).status_code == 400, (model, field)
            if field.remote_field is not None and field.related_model is User:
                assert client.get(url, {f"{field.name}__password__startswith": "md5"}).status_code == 400, model
    assert client.get(reverse("admin:identity_user_changelist"), {"password": "x"}).status_code == 400


def test_declared_filters_work(client):
    user = make_marked_world("owner")
    client = browser(user)
    for model, table in tables().items():
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        page = client.get(url).content.decode()
        links = set(re.findall(r'href="(\?[^"]+)"', page))
        assert links or not table.list_filter, model
        for link in links:
            answer = client.get(url + link.replace("&amp;", "&"))
            assert answer.status_code == 200, (model, link)


def test_search_of_an_auditor_does_not_reveal_names(client):
    user = make_marked_world("auditor")
    hidden = User.objects.get(username=user.username).name
    url = reverse("admin:identity_user_changelist")
    assert user.username not in browser(user).get(url, {"q": hidden}).content.decode().partition('id="result_list"')[2]
