"""Creation of workspaces: the body, the rules, and races."""

import threading
import uuid

import pytest
from django.db import connection

from coderproj.identity.models import AuditLog, Membership
from provisioning.engine import base
from provisioning.models import ParameterScope, ParameterValue, ProvisionerJob
from provisioning.queue import jobs
from templates_app.models import Template, TemplateAccess
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from tests.api import ApiClient, fields_of
from tests.factories import in_state, make_organization, make_template, make_user, make_version, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def create(api, organization, template):
    """Create a workspace of the caller with a body that is complete but for what the test gives."""

    def call(api=api, user="me", organization=organization, **body):
        body = {"template_id": str(template.pk), "name": "dev"} | body
        sent = {key: value for key, value in body.items() if value != "ABSENT"}
        return api.post(f"organizations/{organization.pk}/members/{user}/workspaces", sent)

    return call


def test_creation(create, ada, template):
    """CRE-04, CRE-11, CRE-31."""
    answer = create()
    assert answer.status_code == 201
    build = answer.body["latest_build"]
    assert (build["status"], build["build_number"], build["reason"]) == ("pending", 1, "initiator")
    assert (build["resources"], build["deadline"], build["transition"]) == ([], None, "start")
    assert build["template_version_name"] == template.active_version.name
    assert answer.body["last_used_at"] == "0001-01-01T00:00:00Z"
    assert (answer.body["owner_name"], answer.body["outdated"]) == ("ada", False)
    [row] = AuditLog.objects.filter(resource_type="workspace")
    assert (row.action, row.resource_target, row.user_id, row.status_code) == ("create", "dev", ada.pk, 201)


@pytest.mark.parametrize("field", ["template_id", "template_version_id"])
def test_unknown_template(create, field):
    """CRE-01."""
    answer = create(**{"template_id": "ABSENT", field: str(uuid.uuid4())})
    assert (answer.status_code, fields_of(answer)) == (400, [field])


def test_body_is_checked(create):
    for body, field in (
        ({"template_id": "ABSENT"}, "template_id"),
        ({"template_id": str(uuid.UUID(int=0))}, "template_id"),
        ({"template_id": "x"}, "template_id"),
        ({"name": "ABSENT"}, "name"),
        ({"name": "a_b"}, "name"),
        ({"name": "x" * 33}, "name"),
        ({"ttl_ms": 59_000}, "ttl_ms"),
        ({"ttl_ms": -5}, "ttl_ms"),
        ({"ttl_ms": "5"}, "ttl_ms"),
        ({"autostart_schedule": "0 9 * 1 *"}, "schedule"),
        ({"automatic_updates": "sometimes"}, "automatic_updates"),
        ({"rich_parameter_values": [{"value": "x"}]}, "rich_parameter_values[0].name"),
        ({"rich_parameter_values": [{"name": "x", "value": "y"}] * 1001}, "rich_parameter_values"),
        (
            {"parameter_values": [{"name": "x", "source_value": "y", "source_scheme": "ftp"}]},
            "parameter_values[0].source_scheme",
        ),
        ({"parameter_values": [{"name": "x", "source_value": "y"}]}, "parameter_values[0].name"),
    ):
        answer = create(**body)
        assert (answer.status_code, fields_of(answer)) == (400, [field]), body
    assert not Workspace.objects.exists()


def test_unknown_keys_and_null_lists_are_accepted(create):
    body = {"template_version_presets": 1, "parameter_values": None, "rich_parameter_values": None}
    assert create(**body, automatic_updates="always", ttl_ms=None, autostart_schedule=None).status_code == 201


def test_template_of_another_organization(create, ada):
    """CRE-02: 400 with the field (decision 7)."""
    other = make_organization()
    Membership.objects.create(user=ada, organization=other)
    answer = create(organization=other)
    assert (answer.status_code, fields_of(answer)) == (400, ["template_id"])


def test_taken_name(create, ada, api, template):
    """CRE-03, CRE-16, CRE-17."""
    first = make_workspace(user=ada, template=template, name="dev")
    for name in ("dev", "DEV"):
        answer = create(name=name)
        assert (answer.status_code, fields_of(answer)) == (409, ["name"])
    other = make_organization()
    Membership.objects.create(user=ada, organization=other)
    second = make_template(user=ada, organization=other)
    assert create(organization=other, template_id=str(second.pk)).status_code == 409
    Workspace.objects.filter(pk=first.pk).update(deleted=True)
    assert create().status_code == 201


def test_deleted_template(create, template):
    """CRE-05: as an unknown one."""
    Template.objects.update(deleted=True)
    answer = create()
    assert (answer.status_code, fields_of(answer)) == (400, ["template_id"])


@pytest.mark.parametrize(
    ("default", "sent", "expected"),
    [
        pytest.param(0, "ABSENT", None, id="CRE-06"),
        pytest.param(28_800_000, "ABSENT", 28_800_000, id="CRE-07"),
        pytest.param(28_800_000, 3_600_000, 3_600_000, id="CRE-08"),
        pytest.param(28_800_000, 0, 28_800_000, id="CRE-23"),
        pytest.param(28_800_000, None, 28_800_000, id="null"),
    ],
)
def test_ttl(create, default, sent, expected):
    Template.objects.update(default_ttl_ms=default)
    assert create(ttl_ms=sent).body.get("ttl_ms") == expected


@pytest.mark.parametrize(
    ("state", "status"),
    [("pending", 406), ("running", 406), ("canceling", 406), ("failed", 400), ("canceled", 400)],
)
def test_import_that_has_not_succeeded(create, owner, organization, template, state, status):
    """CRE-10, CRE-14."""
    version = make_version(user=owner, organization=organization, template=template, finished=False)
    in_state(state, version)
    Template.objects.update(active_version=version)
    assert create().status_code == status
    assert not Workspace.objects.exists()
    assert not ProvisionerJob.objects.filter(type="workspace_build").exists()


def test_template_that_the_caller_may_not_read(create, organization, owner):
    """CRE-12, CRE-30."""
    TemplateAccess.objects.all().delete()
    assert create().status_code == 404
    assert not Workspace.objects.exists()


def test_creation_for_others(create, callers, ada, organization):
    """CRE-18, CRE-19."""
    for relation in ("member", "template admin", "user admin", "auditor"):
        assert create(callers[relation], user="ada").status_code == 404, relation
        assert create(callers[relation], name=relation.replace(" ", "-")).status_code == 201, relation
    assert create(callers["stranger"], user="ada").status_code == 404
    answer = create(callers["organization admin"], user="ada")
    assert (answer.status_code, answer.body["owner_name"]) == (201, "ada")
    assert answer.body["latest_build"]["initiator_name"] != "ada"
    outsider = make_user("outsider")
    assert create(callers["owner"], user="outsider").status_code == 404
    assert create(callers["owner"], user=str(outsider.pk)).status_code == 404
    assert create(callers["owner"], user="nobody").status_code == 400


def test_permission_is_checked_before_the_body(create, callers, ada):
    assert create(callers["member"], user="ada", name=1).status_code == 404
    assert callers["stranger"].post("users/ada/workspaces", {"name": 1}).status_code == 400  # no such user
    assert callers["member"].post("users/ada/workspaces", {"name": 1}).status_code == 404


def test_inactive_owner(create, callers, ada):
    """CRE-20."""
    for change in ({"status": "suspended"}, {"status": "active", "deleted": True}):
        type(ada).objects.filter(pk=ada.pk).update(**change)
        answer = create(callers["organization admin"], user=str(ada.pk))
        assert answer.status_code == 400, change


@pytest.mark.parametrize("schedule", ["", None, "ABSENT"])
def test_no_schedule(create, schedule):
    """CRE-21."""
    assert "autostart_schedule" not in create(autostart_schedule=schedule).body


# ---------------------------------------------------------------------- values
def with_parameters(owner, organization, *parameters, schemas=()):
    """A template whose version has these rich parameters and variables."""
    template = make_template(user=owner, organization=organization)
    plan = base.PlanResult(rich_parameters=parameters)
    version = make_version(
        user=owner,
        organization=organization,
        template=template,
        result=base.ImportResult(start=plan, stop=plan),
        schemas=schemas,
    )
    Template.objects.filter(pk=template.pk).update(active_version=version)
    return template


def test_rich_parameters(create, api, owner, organization):
    """CRE-13, CRE-27: the values that were sent, the default for an empty one."""
    template = with_parameters(
        owner,
        organization,
        base.RichParameter("region"),
        base.RichParameter("size", default_value="small"),
        base.RichParameter("zone", default_value="z"),
    )
    values = [{"name": "region", "value": "eu"}, {"name": "size", "value": "large"}, {"name": "zone", "value": ""}]
    build = create(template_id=str(template.pk), rich_parameter_values=values).body["latest_build"]
    assert api.get(f"workspacebuilds/{build['id']}/parameters").body == values[:2]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([], id="CRE-24"),
        pytest.param([{"name": "region", "value": "a"}, {"name": "region", "value": "b"}], id="CRE-25"),
        pytest.param([{"name": "region", "value": "a"}, {"name": "other", "value": "b"}], id="CRE-26"),
    ],
)
def test_bad_rich_parameters(create, owner, organization, values):
    template = with_parameters(owner, organization, base.RichParameter("region"))
    answer = create(template_id=str(template.pk), rich_parameter_values=values)
    assert answer.status_code == 400
    assert fields_of(answer) == [
        f"rich_parameter_values.{'other' if len(values) == 2 and values[1]['name'] == 'other' else 'region'}"
    ]
    assert answer.body["detail"]
    assert not Workspace.objects.exists()


RULES = {
    "PAR-01": (base.RichParameter("p", default_value=""), ["", "foobar"], []),
    "PAR-02": (base.RichParameter("p", type="number", validation_min=3, validation_max=10), ["3", "10"], ["2", "11"]),
    "PAR-03": (
        base.RichParameter("p", validation_regex="^[a-z]{4}$", validation_error="four letters"),
        ["abcd"],
        ["abcd1"],
    ),
    "PAR-04": (base.RichParameter("p", type="bool"), ["true", "false"], ["cat"]),
    "PAR-05": (base.RichParameter("p", type="number", validation_min=3, validation_max=10), [], ["3.5", " 3", "three"]),
    "PAR-06": (base.RichParameter("p", type="bool"), [], ["True", "1"]),
    "PAR-07": (
        base.RichParameter("p", options=(base.RichParameterOption("A", "a"), base.RichParameterOption("B", "b"))),
        ["a", "b"],
        ["c", ""],
    ),
    "PAR-08": (base.RichParameter("p", type="number", validation_min=0, validation_max=5), ["0", "5"], ["6", "-1"]),
}


@pytest.mark.parametrize("row", RULES)
def test_validation_of_rich_parameters(create, api, owner, organization, row):
    """Creation and build apply the same rules."""
    parameter, accepted, refused = RULES[row]
    template = with_parameters(owner, organization, parameter)
    for number, value in enumerate(accepted):
        name = f"w{number}"
        values = [{"name": "p", "value": value}]
        answer = create(template_id=str(template.pk), name=name, rich_parameter_values=values)
        assert answer.status_code == 201, (value, answer.raw)
        jobs.cancel(WorkspaceBuild.objects.get(pk=answer.body["latest_build"]["id"]).job_id)
    for value in refused:
        values = [{"name": "p", "value": value}]
        body = {"transition": "start", "rich_parameter_values": values}
        answers = [create(template_id=str(template.pk), name="no", rich_parameter_values=values)]
        if value:  # an empty value keeps that of the build before
            answers += [api.post(f"workspaces/{found.pk}/builds", body) for found in Workspace.objects.all()]
        assert {(answer.status_code, *fields_of(answer)) for answer in answers} == {(400, "rich_parameter_values.p")}


def test_values_of_variables(create, owner, organization):
    """CRE-28; an empty value leaves the default."""
    template = with_parameters(
        owner,
        organization,
        schemas=(base.ParameterSchema(name="region"), base.ParameterSchema(name="size", default_source_value="s")),
    )
    identifier = {"template_id": str(template.pk)}
    value = lambda name, text: {"name": name, "source_value": text, "source_scheme": "data"}  # noqa: E731
    for values in ([], [value("region", "")], [value("region", "a"), value("region", "b")], [value("other", "a")]):
        answer = create(**identifier, parameter_values=values)
        assert answer.status_code == 400, values
        assert fields_of(answer)[0].startswith("parameter_values")
    assert create(**identifier, parameter_values=[value("region", "eu"), value("size", "")]).status_code == 201
    stored = ParameterValue.objects.filter(scope=ParameterScope.WORKSPACE)
    assert list(stored.values_list("name", "source_value")) == [("region", "eu")]


# ---------------------------------------------------------------------- the newer form
def test_newer_form(api, ada, template):
    """Decision 15."""
    version = make_version(user=ada, organization=template.organization, template=template)
    foreign = make_template(user=ada, organization=template.organization)
    body = {
        "name": "dev",
        "template_id": None,
        "template_version_id": str(version.pk),
        "rich_parameter_values": [],
        "automatic_updates": "never",
        "autostart_schedule": "CRON_TZ=UTC 0 8 * * 1",
        "ttl_ms": 3_600_000,
    }
    answer = api.post(f"users/{ada.pk}/workspaces", body)
    assert (answer.status_code, answer.body["template_id"]) == (201, str(template.pk))
    assert answer.body["latest_build"]["template_version_id"] == str(version.pk)
    assert answer.body["outdated"] is True
    both = {**body, "name": "two", "template_id": str(foreign.pk)}
    answer = api.post("users/me/workspaces", both)
    assert (answer.status_code, fields_of(answer)) == (400, ["template_version_id"])
    assert api.post("users/me/workspaces", {"name": "two", "template_id": str(template.pk)}).status_code == 201
    answer = api.post("users/me/workspaces", {"name": "three"})
    assert (answer.status_code, fields_of(answer)) == (400, ["template_id"])


# ---------------------------------------------------------------------- races
def at_once(calls):
    """Make all calls at the same time, each on a thread; return their results."""
    barrier = threading.Barrier(len(calls))
    results = []

    def run(call):
        try:
            barrier.wait(10)
            results.append(call())
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


@pytest.mark.django_db(transaction=True)
def test_creations_of_one_name_at_once(create, ada):
    """CRE-15."""
    clients = [ApiClient(ada) for _ in range(4)]
    statuses = at_once([lambda client=client: create(client).status_code for client in clients])
    assert sorted(statuses) == [201, 409, 409, 409]
    assert Workspace.objects.count() == WorkspaceBuild.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_creation_while_the_template_is_deleted(create, ada, owner, template):
    """CRE-29: never a workspace of a deleted template."""
    clients = [ApiClient(ada) for _ in range(3)]
    calls = [lambda client=client, n=n: create(client, name=f"w{n}").status_code for n, client in enumerate(clients)]
    calls.append(lambda: ApiClient(owner).delete(f"templates/{template.pk}").status_code)
    statuses = at_once(calls)
    assert set(statuses) <= {200, 201, 400, 404}
    if Template.objects.get(pk=template.pk).deleted:
        assert not Workspace.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_builds_at_once(create, api, ada, template):
    """BLD-25."""
    workspace = make_workspace(user=ada, template=template)
    clients = [ApiClient(ada) for _ in range(4)]
    path = f"workspaces/{workspace.pk}/builds"
    calls = [lambda client=client: client.post(path, {"transition": "stop"}).status_code for client in clients]
    assert sorted(at_once(calls)) == [201, 409, 409, 409]
    assert sorted(workspace.builds.values_list("build_number", flat=True)) == [1, 2]
