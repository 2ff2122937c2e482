"""Dry runs of template versions over the API."""

import uuid

import pytest

from coderproj.identity.models import AuditAction, AuditLog
from provisioning.engine.base import (
    PlanResult,
    Resource,
)
from provisioning.models import ProvisionerJob
from tests.api import ApiClient, fields_of
from tests.factories import finish, make_template, make_user

pytestmark = pytest.mark.django_db


def test_a_dry_run_takes_values_and_shows_resources(organization, admin, member):
    template = make_template(user=admin, organization=organization)
    api = ApiClient(member)
    path = f"templateversions/{template.active_version_id}/dry-run"
    answer = api.post(
        path,
        {
            "workspace_name": "mine",
            "parameter_values": [{"name": "region", "source_value": "us"}],
            "rich_parameter_values": [{"name": "size", "value": "5"}],
        },
    )
    assert (answer.status_code, answer.body["status"]) == (201, "pending")
    job = ProvisionerJob.objects.get(pk=answer.body["id"])
    assert job.input["parameter_values"] == [{"name": "region", "value": "us"}]
    assert job.input["rich_parameter_values"] == [{"name": "size", "value": "5"}]
    unfinished = api.get(f"{path}/{job.pk}/resources")
    assert (unfinished.status_code, "dry-run hasn't completed" in unfinished.body["message"]) == (400, True)
    finish(job, result=PlanResult(resources=(Resource(name="x", type="terraform_data"),)))
    assert api.get(f"{path}/{job.pk}").body["status"] == "succeeded"
    assert [row["workspace_transition"] for row in api.get(f"{path}/{job.pk}/resources").body] == ["start"]
    assert api.get(f"{path}/{job.pk}/logs").body == []
    assert api.patch(f"{path}/{job.pk}/cancel").status_code == 400


def test_dry_runs_belong_to_their_initiator(organization, admin, member):
    template = make_template(user=admin, organization=organization)
    path = f"templateversions/{template.active_version_id}/dry-run"
    job = ApiClient(member).post(path, {}).body["id"]
    other = make_user(organizations=(organization,))
    template_admin = make_user(site_roles=("template-admin",))
    expected = {admin: 200, other: 404, template_admin: 200}
    assert {user: ApiClient(user).get(f"{path}/{job}").status_code for user in expected} == expected
    assert ApiClient(template_admin).patch(f"{path}/{job}/cancel").status_code == 403
    assert ApiClient(admin).patch(f"{path}/{job}/cancel").status_code == 200
    audited = AuditLog.objects.get(action=AuditAction.STOP, resource_id=job)
    assert (audited.user_id, audited.status_code) == (admin.pk, 200)


def test_a_dry_run_of_another_version_is_forbidden(api, admin, organization):
    first = make_template(user=admin, organization=organization)
    second = make_template(user=admin, organization=organization)
    job = api.post(f"templateversions/{first.active_version_id}/dry-run", {}).body["id"]
    assert api.get(f"templateversions/{second.active_version_id}/dry-run/{job}").status_code == 403
    imported = first.active_version.job_id
    assert api.get(f"templateversions/{first.active_version_id}/dry-run/{imported}").status_code == 403
    assert api.get(f"templateversions/{first.active_version_id}/dry-run/{uuid.uuid4()}").status_code == 404
    assert api.get(f"templateversions/{first.active_version_id}/dry-run/nonsense").status_code == 400


def test_users_outside_the_organization_cannot_dry_run(organization, admin):
    template = make_template(user=admin, organization=organization)
    template_admin = make_user(site_roles=("template-admin",))
    path = f"templateversions/{template.active_version_id}/dry-run"
    for body in ({}, {"workspace_name": 1}):
        assert ApiClient(template_admin).post(path, body).status_code == 403


def test_only_names_and_texts_of_values_are_used(api, admin, organization):
    template = make_template(user=admin, organization=organization)
    value = {"name": "region", "source_value": "us", "source_scheme": "nonsense", "destination_scheme": "none"}
    values = [value, {"copy_from_parameter": str(uuid.uuid4())}]
    answer = api.post(f"templateversions/{template.active_version_id}/dry-run", {"parameter_values": values})
    assert answer.status_code == 201
    job = ProvisionerJob.objects.get(pk=answer.body["id"])
    assert job.input["parameter_values"] == [{"name": "region", "value": "us"}]


def test_variables_of_a_dry_run_have_values_in_both_forms(api, admin, organization):
    template = make_template(user=admin, organization=organization)
    path = f"templateversions/{template.active_version_id}/dry-run"
    values = {
        "parameter_values": [{"name": "region", "source_value": "us"}],
        "user_variable_values": [{"name": "zone", "value": "a"}],
    }
    answer = api.post(path, values)
    job = ProvisionerJob.objects.get(pk=answer.body["id"])
    assert job.input["parameter_values"] == [{"name": "region", "value": "us"}, {"name": "zone", "value": "a"}]
    twice = api.post(path, {"user_variable_values": [{"name": "zone", "value": "a"}, {"name": "zone"}]})
    assert (twice.status_code, fields_of(twice)) == (400, ["user_variable_values[1].name"])


@pytest.mark.parametrize("raw", [b"", b" \n"])
def test_a_dry_run_needs_a_body(api, admin, organization, raw):
    template = make_template(user=admin, organization=organization)
    answer = api.post(f"templateversions/{template.active_version_id}/dry-run", raw=raw)
    assert (answer.status_code, answer.body["message"]) == (400, "Request body must be valid JSON.")
