"""Changing templates over the API: updates, promotions, deletion."""

import uuid

import pytest

from coderproj.base.dialect import SDK_ABSENT_FIELDS
from coderproj.base.errors import DomainError
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditLog
from templates_app.models import Template, TemplateVersion
from templates_app.services import templates
from tests.api import ApiClient, fields_of
from tests.factories import finish, in_state, make_template, make_version

pytestmark = pytest.mark.django_db


def test_updating_a_template_keeps_omitted_fields(api, admin, organization):
    template = make_template(user=admin, organization=organization, name="old", icon="/icon/a.svg", default_ttl_ms=5)
    answer = api.patch(f"templates/{template.pk}", {"name": "new", "description": "text"})
    assert (answer.status_code, answer.body["name"], answer.body["description"]) == (200, "new", "text")
    assert (answer.body["icon"], answer.body["default_ttl_ms"]) == ("/icon/a.svg", 5)
    assert api.patch(f"templates/{template.pk}").body == answer.body
    assert api.patch(f"templates/{template.pk}", {}).status_code == 200


def test_the_sdk_dialect_clears_omitted_fields(admin, organization):
    template = make_template(user=admin, organization=organization, icon="/icon/a.svg", default_ttl_ms=5)
    answer = ApiClient(admin, accept=None).patch(f"templates/{template.pk}", {"description": "text"})
    assert (answer.body["icon"], answer.body["default_ttl_ms"]) == ("", 0)
    assert answer.body["allow_user_cancel_workspace_jobs"] is False
    assert answer.body["name"] == template.name


@pytest.mark.parametrize("body", [{}, {"unknown": 1}])
def test_an_empty_object_of_the_sdk_means_zero_values(admin, organization, body):
    template = make_template(user=admin, organization=organization, display_name="Web", default_ttl_ms=5)
    api = ApiClient(admin, accept=None)
    for blank in (None, b" \n"):  # an empty body changes nothing
        assert api.patch(f"templates/{template.pk}", raw=blank).body["display_name"] == "Web"
    answer = api.patch(f"templates/{template.pk}", body)
    assert [answer.body[name] for name in SDK_ABSENT_FIELDS] == list(SDK_ABSENT_FIELDS.values())


LATER_SDK = {
    "update_workspace_last_used_at": False,
    "update_workspace_dormant_at": False,
    "disable_everyone_group_access": False,
}


@pytest.mark.parametrize("marker", [LATER_SDK, {"disable_everyone_group_access": True}])
def test_the_later_sdk_omits_pointers_and_zero_values(admin, organization, marker):
    fields = {"display_name": "Web", "icon": "/icon/a.svg", "description": "text", "default_ttl_ms": 5}
    template = make_template(user=admin, organization=organization, **fields)
    api = ApiClient(admin, accept=None)
    body = api.patch(f"templates/{template.pk}", marker).body
    assert (body["display_name"], body["icon"], body["description"]) == ("Web", "/icon/a.svg", "text")
    assert (body["default_ttl_ms"], body["allow_user_cancel_workspace_jobs"]) == (0, False)
    emptied = {**marker, "name": "", "display_name": "", "icon": "", "description": ""}
    body = api.patch(f"templates/{template.pk}", emptied).body
    assert (body["display_name"], body["icon"], body["description"]) == ("", "", "")
    assert body["name"] == template.name


@pytest.mark.parametrize("accept", [None, "application/json"])
def test_an_update_can_take_the_access_from_everyone(admin, organization, member, accept):
    template = make_template(user=admin, organization=organization)
    path = f"templates/{template.pk}"
    api, reader = ApiClient(admin, accept=accept), ApiClient(member)
    assert api.patch(path, {"disable_everyone_group_access": False}).status_code == 200
    assert reader.get(path).status_code == 200
    assert reader.patch(path, {"disable_everyone_group_access": True}).status_code == 403
    for _ in range(2):
        assert api.patch(path, {"disable_everyone_group_access": True}).status_code == 200
        assert reader.get(path).status_code == 404
    row = AuditLog.objects.filter(resource_id=template.pk, diff__has_key="group_acl").get()
    assert row.diff["group_acl"] == {"old": {str(organization.pk): "use"}, "new": {}, "secret": False}
    # The client then writes its own access list.
    listed = {"group_perms": {str(organization.pk): "use"}}
    assert api.patch(f"{path}/acl", listed).status_code == 200
    assert reader.get(path).status_code == 200


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": "bad name"}, ["name"]),
        ({"display_name": "x\n"}, ["display_name"]),
        ({"description": "x" * 128}, ["description"]),
        ({"default_ttl_ms": -5}, ["default_ttl_ms"]),
    ],
)
def test_invalid_updates_change_nothing(api, admin, organization, body, fields):
    template = make_template(user=admin, organization=organization)
    before = api.get(f"templates/{template.pk}").raw
    answer = api.patch(f"templates/{template.pk}", {"icon": "/x", **body})
    assert (answer.status_code, fields_of(answer)) == (400, fields)
    assert api.get(f"templates/{template.pk}").raw == before


def test_a_negative_ttl_of_an_update_is_an_invalid_request(api, admin, organization):
    template = make_template(user=admin, organization=organization)
    answer = api.patch(f"templates/{template.pk}", {"default_ttl_ms": -1})
    assert answer.body["message"].startswith("Invalid request")
    assert answer.body["validations"] == [{"field": "default_ttl_ms", "detail": "Must be a positive integer."}]


def test_rejected_changes_are_in_the_audit_log(api, admin, organization, member):
    template = make_template(user=admin, organization=organization, name="web")
    path = f"templates/{template.pk}"
    reader = ApiClient(member)
    assert reader.patch(path, {"name": "x"}).status_code == 403
    assert reader.patch(f"{path}/versions", {"id": str(template.active_version_id)}).status_code == 403
    assert reader.delete(path).status_code == 403
    assert api.patch(path, {"name": "not a name"}).status_code == 400
    assert api.patch(path, {"default_ttl_ms": -1}).status_code == 400
    assert api.patch(f"{path}/versions", {}).status_code == 400
    rows = AuditLog.objects.filter(resource_id=template.pk).order_by("time", "id")
    assert [(row.username, row.action, row.status_code) for row in rows] == [
        (member.username, "write", 403),
        (member.username, "write", 403),
        (member.username, "delete", 403),
        (admin.username, "write", 400),
        (admin.username, "write", 400),
        (admin.username, "write", 400),
    ]
    assert {(row.resource_target, str(row.diff)) for row in rows} == {("web", "{}")}
    version = f"templateversions/{template.active_version_id}"
    for client, status in ((reader, 403), (api, 400)):
        assert client.patch(f"{path}/acl", {"user_perms": 1}).status_code == status
        assert client.patch(version, {"name": "not a name"}).status_code == status
    assert reader.post(f"{version}/archive").status_code == 403
    latest = AuditLog.objects.order_by("-time")[:5]
    assert [(row.resource_type, row.status_code) for row in reversed(latest)] == [
        ("template", 403),
        ("template_version", 403),
        ("template", 400),
        ("template_version", 400),
        ("template_version", 403),
    ]


def test_deleting_a_template_sets_its_time_of_change(api, admin, organization):
    template = make_template(user=admin, organization=organization)
    assert api.delete(f"templates/{template.pk}").status_code == 200
    assert Template.objects.get(pk=template.pk).updated_at > template.updated_at


def test_renaming_to_a_taken_name_is_a_conflict(api, admin, organization):
    make_template(user=admin, organization=organization, name="first")
    second = make_template(user=admin, organization=organization, name="second")
    answer = api.patch(f"templates/{second.pk}", {"name": "FIRST"})
    assert (answer.status_code, fields_of(answer)) == (409, ["name"])
    assert api.patch(f"templates/{second.pk}", {"name": "SECOND"}).body["name"] == "SECOND"


def test_users_of_a_template_may_only_read_it(organization, admin, member):
    template = make_template(user=admin, organization=organization)
    api = ApiClient(member)
    assert api.patch(f"templates/{template.pk}", {"name": "x"}).status_code == 403
    assert api.delete(f"templates/{template.pk}").status_code == 403
    body = {"id": str(template.active_version_id)}
    assert api.patch(f"templates/{template.pk}/versions", body).status_code == 403
    assert Template.objects.existing().filter(pk=template.pk, name=template.name).exists()
    assert set(AuditLog.objects.filter(user_id=member.pk).values_list("status_code", flat=True)) <= {403}


def test_promoting_forward_and_back(api, admin, organization):
    template = make_template(user=admin, organization=organization)
    first = template.active_version
    second = make_version(user=admin, organization=organization, template=template)
    for target in (second, first, first):
        answer = api.patch(f"templates/{template.pk}/versions", {"id": str(target.pk)})
        assert (answer.status_code, list(answer.body)) == (200, ["message"])
        assert api.get(f"templates/{template.pk}").body["active_version_id"] == str(target.pk)


@pytest.mark.parametrize(("what", "status"), [("nil", 400), ("missing", 400), ("ghost", 404), ("other", 400)])
def test_promoting_an_invalid_version_changes_nothing(api, admin, organization, what, status):
    template = make_template(user=admin, organization=organization)
    other = make_template(user=admin, organization=organization)
    body = {
        "nil": {"id": "00000000-0000-0000-0000-000000000000"},
        "missing": {},
        "ghost": {"id": str(uuid.uuid4())},
        "other": {"id": str(other.active_version_id)},
    }[what]
    assert api.patch(f"templates/{template.pk}/versions", body).status_code == status
    template.refresh_from_db()
    assert template.active_version != other.active_version


@pytest.mark.parametrize("state", ["pending", "running", "failed", "canceled", "canceling"])
def test_only_a_successful_import_can_be_promoted(api, admin, organization, state):
    template = make_template(user=admin, organization=organization)
    version = in_state(state, make_version(user=admin, organization=organization, template=template, finished=False))
    answer = api.patch(f"templates/{template.pk}/versions", {"id": str(version.pk)})
    assert answer.status_code == 400
    assert f"The import of version {version.name} has the state {state}." in answer.body["message"]
    assert api.get(f"templates/{template.pk}").body["active_version_id"] == str(template.active_version_id)


def test_the_active_version_can_be_promoted_again_in_any_state(api, admin, organization):
    version = make_version(user=admin, organization=organization, finished=False)
    body = {"name": "web", "template_version_id": str(version.pk)}
    template = api.post(f"organizations/{organization.pk}/templates", body).body
    finish(version.job, error="the plan failed")
    assert api.patch(f"templates/{template['id']}/versions", {"id": str(version.pk)}).status_code == 200


@pytest.mark.parametrize(
    ("state", "status"),
    [("pending", 200), ("running", 200), ("failed", 400), ("canceled", 400), ("canceling", 400)],
)
def test_a_template_is_not_made_of_an_ended_import_without_result(api, admin, organization, state, status):
    version = in_state(state, make_version(user=admin, organization=organization, finished=False))
    body = {"name": "web", "template_version_id": str(version.pk)}
    answer = api.post(f"organizations/{organization.pk}/templates", body)
    assert answer.status_code == status
    assert Template.objects.filter(name="web").exists() is (status == 200)
    if status == 400:
        assert fields_of(answer) == ["template_version_id"]
        assert f"has the state {state}" in answer.raw.decode()


def test_a_deleted_template_is_not_found_but_its_versions_are(api, admin, organization):
    template = make_template(user=admin, organization=organization)
    assert api.delete(f"templates/{template.pk}").body.keys() == {"message"}
    assert api.get(f"templates/{template.pk}").status_code == 404
    assert api.delete(f"templates/{template.pk}").status_code == 404
    assert api.get(f"templateversions/{template.active_version_id}").status_code == 200
    assert TemplateVersion.objects.filter(template=template).exists()


def test_an_update_keeps_a_concurrent_promotion(admin, organization):
    stale = make_template(user=admin, organization=organization)
    second = make_version(user=admin, organization=organization, template=stale)
    ApiClient(admin).patch(f"templates/{stale.pk}/versions", {"id": str(second.pk)})
    templates.update(Actor.of(admin), stale, {"icon": "/icon/new.svg"})
    row = Template.objects.get(pk=stale.pk)
    assert (row.icon, row.active_version_id) == ("/icon/new.svg", second.pk)


def test_a_deleted_template_stays_deleted(admin, organization):
    stale = make_template(user=admin, organization=organization)
    Template.objects.filter(pk=stale.pk).update(deleted=True)
    with pytest.raises(DomainError):
        templates.update(Actor.of(admin), stale, {"icon": "/icon/new.svg"})
    assert Template.objects.get(pk=stale.pk).deleted is True


def test_an_archived_version_cannot_be_promoted(api, admin, organization):
    template = make_template(user=admin, organization=organization)
    second = make_version(user=admin, organization=organization, template=template)
    assert api.post(f"templateversions/{second.pk}/archive").status_code == 200
    assert api.patch(f"templates/{template.pk}/versions", {"id": str(second.pk)}).status_code == 400
    assert api.post(f"templateversions/{second.pk}/unarchive").status_code == 200
    assert api.patch(f"templates/{template.pk}/versions", {"id": str(second.pk)}).status_code == 200
