"""Template versions are created over the API: bodies, sources, values, names, permissions."""

import itertools
import uuid
from datetime import UTC, datetime

import pytest

from provisioning.models import ParameterScope, ParameterValue, ProvisionerJob
from templates_app.models import TemplateVersion
from templates_app.names import ADJECTIVES, SURNAMES, check_version_name, random_name
from templates_app.pages.addresses import version_url
from tests.api import ApiClient, fields_of
from tests.factories import make_file, make_organization, make_template, make_user
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db
NIL = "00000000-0000-0000-0000-000000000000"


def test_creating_a_version_queues_its_import(api, admin, organization):
    file = make_file(admin)
    answer = api.post(
        f"organizations/{organization.pk}/templateversions",
        {
            "template_id": NIL,
            "storage_method": "file",
            "file_id": str(file.pk),
            "provisioner": "terraform",
            "tags": {},
            "parameter_values": [
                {
                    "copy_from_parameter": NIL,
                    "name": "region",
                    "source_value": "eu",
                    "source_scheme": "data",
                    "destination_scheme": "provisioner_variable",
                }
            ],
        },
    )
    assert answer.status_code == 201
    job = answer.body["job"]
    assert job["status"] == "pending"
    assert job["file_id"] == str(file.pk)
    assert job["tags"] == {"scope": "organization"}
    assert "template_id" not in answer.body
    assert answer.body["created_by"]["username"] == "ada"
    assert answer.body["created_by"]["organization_ids"] == [str(organization.pk)]
    value = ParameterValue.objects.get(scope=ParameterScope.IMPORT_JOB, scope_id=job["id"])
    assert (value.name, value.source_value) == ("region", "eu")


def test_a_new_version_is_answered_as_pending(api, admin, organization, monkeypatch):
    """Even if a daemon claims the job at once: a client that sees another status might not follow the log."""
    store = TemplateVersion.save

    def claimed_at_once(version, **options):
        store(version, **options)
        ProvisionerJob.objects.filter(pk=version.job_id).update(started_at=datetime.now(UTC))

    monkeypatch.setattr(TemplateVersion, "save", claimed_at_once)
    body = {"file_id": str(make_file(admin).pk)}
    answer = api.post(f"organizations/{organization.pk}/templateversions", body)
    assert (answer.status_code, answer.body["job"]["status"]) == (201, "pending")
    assert api.get(f"templateversions/{answer.body['id']}").body["job"]["status"] == "running"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"WORKSPACE_NAME": "w"}, 201),
        ({"workspace_name": "w", "file_id": None, "tags": {}, "name": ""}, 201),
        ({"workspace_name": "w", "File_ID": NIL}, 201),
        ({"workspace_name": "w", "NAME": "v1"}, 400),
    ],
)
def test_the_documented_body_is_recognized_by_its_fields(api, organization, body, status):
    answer = api.post(f"organizations/{organization.pk}/templateversions", body)
    assert (answer.status_code, fields_of(answer)) == (status, [] if status == 201 else ["file_id"])


def test_the_organization_can_be_given_by_name(api, admin, organization):
    body = {"file_id": str(make_file(admin).pk)}
    for reference in ("default", organization.name, organization.name.upper()):
        assert api.post(f"organizations/{reference}/templateversions", body).status_code == 201


def test_a_starter_can_be_the_source_by_slug_or_id(api, organization):
    starters = api.get(f"organizations/{organization.pk}/templates/examples").body
    assert {"hello", "docker", "kubernetes"} <= {starter["url"].rpartition("/")[2] for starter in starters}
    by_id = api.post(f"organizations/{organization.pk}/templateversions", {"example_id": starters[0]["id"]})
    assert by_id.status_code == 201
    by_slug = [api.post(f"organizations/{organization.pk}/templateversions", {"example_id": "hello"}) for _ in range(2)]
    assert {answer.status_code for answer in by_slug} == {201}
    assert len({answer.body["job"]["file_id"] for answer in by_slug}) == 1


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        ({}, 400, ["file_id"]),
        ({"tags": {}}, 400, ["file_id"]),
        ({"file_id": "nonsense"}, 400, ["file_id"]),
        ({"file_id": str(uuid.uuid4())}, 404, []),
        ({"example_id": "no-such-starter"}, 400, ["example_id"]),
        ({"file_id": str(uuid.uuid4()), "example_id": "hello"}, 400, []),
        ({"example_id": "hello", "storage_method": "git"}, 400, ["storage_method"]),
        ({"example_id": "hello", "provisioner": "magic"}, 400, ["provisioner"]),
        ({"example_id": "hello", "name": "not a name"}, 400, ["name"]),
        ({"example_id": "hello", "name": "v1/2"}, 400, ["name"]),
        ({"example_id": "hello", "name": ".."}, 400, ["name"]),
        ({"example_id": "hello", "name": "n" * 65}, 400, ["name"]),
        ({"example_id": "hello", "name": "x\n"}, 400, ["name"]),
        ({"example_id": "hello", "message": "x" * 1025}, 400, ["message"]),
        ({"example_id": "hello", "tags": {"gpu": 1}}, 400, ["tags.gpu"]),
        ({"example_id": "hello", "template_id": str(uuid.uuid4())}, 404, []),
        ({"example_id": "hello", "parameter_values": [{"source_value": "x"}]}, 400, ["parameter_values[0].name"]),
        (
            {"example_id": "hello", "parameter_values": [{"name": "a", "source_scheme": "file"}]},
            400,
            ["parameter_values[0].source_scheme"],
        ),
        ({"example_id": "hello", "name": "a\x00b"}, 400, ["name"]),
        ({"example_id": "hello", "user_variable_values": [{"value": "x"}]}, 400, ["user_variable_values[0].name"]),
        (
            {"example_id": "hello", "user_variable_values": [{"name": "a", "value": 1}]},
            400,
            ["user_variable_values[0].value"],
        ),
        (
            {"example_id": "hello", "user_variable_values": [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]},
            400,
            ["user_variable_values[1].name"],
        ),
        (
            {
                "example_id": "hello",
                "parameter_values": [{"name": "a", "source_value": "1"}],
                "user_variable_values": [{"name": "a", "value": "2"}],
            },
            400,
            ["user_variable_values[0].name"],
        ),
        ({"user_variable_values": [{"name": "a", "value": "1"}]}, 400, ["file_id"]),
        ([], 400, []),
    ],
)
def test_invalid_bodies_name_the_field(api, organization, body, status, fields):
    answer = api.post(f"organizations/{organization.pk}/templateversions", body)
    assert (answer.status_code, fields_of(answer)) == (status, fields)
    assert answer.body["message"]


def test_variables_have_values_in_both_forms(api, organization):
    body = {
        "example_id": "hello",
        "parameter_values": [{"name": "region", "source_value": "eu"}],
        "user_variable_values": [{"name": "zones", "value": '["a", "b"]'}, {"name": "empty", "value": ""}],
    }
    created = api.post(f"organizations/{organization.pk}/templateversions", body)
    assert created.status_code == 201
    stored = ParameterValue.objects.filter(scope="import_job", scope_id=created.body["job"]["id"]).order_by("pk")
    assert {(row.name, row.source_value, row.source_scheme, row.destination_scheme) for row in stored} == {
        ("region", "eu", "data", "provisioner_variable"),
        ("zones", '["a", "b"]', "data", "provisioner_variable"),
        ("empty", "", "data", "provisioner_variable"),
    }
    without = api.post(f"organizations/{organization.pk}/templateversions", {**body, "user_variable_values": None})
    assert ParameterValue.objects.filter(scope_id=without.body["job"]["id"]).count() == 1


def test_the_documented_body_has_no_source_and_its_import_waits(api, organization):
    answer = api.post(
        f"organizations/{organization.pk}/templateversions",
        {"workspace_name": "x", "rich_parameter_values": [{"name": "a", "value": "b"}], "parameter_values": []},
    )
    assert answer.status_code == 201
    assert "file_id" not in answer.body["job"]


@pytest.mark.parametrize("name", ["v1.0.0", "ci_146_ed7719c", "2024.01.01-rc.1_x", "a--b", "_", "n" * 64, "new"])
def test_names_of_versions_have_dots_dashes_and_underscores(api, admin, organization, name):
    template = make_template(user=admin, organization=organization, name="web")
    body = {"example_id": "hello", "template_id": str(template.pk), "name": name}
    created = api.post(f"organizations/{organization.pk}/templateversions", body)
    assert (created.status_code, created.body["name"]) == (201, name)
    active = template.active_version_id
    renamed = api.patch(f"templateversions/{active}", {"name": f"{name[:60]}.2"})
    assert renamed.body["name"] == f"{name[:60]}.2"
    (found,) = api.get(f"templates/{template.pk}/versions/{name}").body
    assert found["id"] == created.body["id"]
    page = browser(admin).get(version_url(TemplateVersion.objects.get(pk=found["id"])))
    assert (page.status_code, name in text_of(page)) == (200, True)


def test_random_names_pass_the_rule_for_names_of_versions():
    for adjective, surname in itertools.product(ADJECTIVES, SURNAMES):
        check_version_name(f"{adjective}_{surname}9")
    check_version_name(random_name())


def test_names_are_unique_per_template(api, admin, organization):
    template = make_template(user=admin, organization=organization)
    body = {"example_id": "hello", "template_id": str(template.pk), "name": "v1"}
    assert api.post(f"organizations/{organization.pk}/templateversions", body).status_code == 201
    again = api.post(f"organizations/{organization.pk}/templateversions", body)
    assert (again.status_code, fields_of(again)) == (409, ["name"])
    assert TemplateVersion.objects.filter(name="v1").count() == 1


def test_user_scoped_tags_have_the_caller_as_owner(api, admin, organization):
    body = {"example_id": "hello", "tags": {"scope": "user", "owner": "another", "gpu": "true"}}
    tags = api.post(f"organizations/{organization.pk}/templateversions", body).body["job"]["tags"]
    assert tags == {"scope": "user", "owner": str(admin.pk), "gpu": "true"}


def test_which_users_may_create_versions(organization, member, admin):
    body = {"example_id": "hello"}
    path = f"organizations/{organization.pk}/templateversions"
    outsider = make_user(organizations=(make_organization(),))
    template_admin = make_user(site_roles=("template-admin",))
    auditor = make_user(site_roles=("auditor",))
    expected = {member: 403, outsider: 404, template_admin: 201, auditor: 404, None: 401}
    assert {user: ApiClient(user).post(path, body).status_code for user in expected} == expected
    template = make_template(user=admin, organization=organization)
    with_template = {**body, "template_id": str(template.pk)}
    assert ApiClient(member).post(path, with_template).status_code == 403


def test_files_of_other_users_are_not_found(organization, admin):
    other = make_user(organizations=(organization,), organization_roles=("organization-admin",))
    body = {"file_id": str(make_file(admin).pk)}
    assert ApiClient(other).post(f"organizations/{organization.pk}/templateversions", body).status_code == 404
