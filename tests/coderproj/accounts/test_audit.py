"""The content of the audit log, and who may read it."""

from importlib import import_module

import pytest
from django.db import connection
from django.db.models import UUIDField

from coderproj.identity import audit, tokens
from coderproj.identity.models import ApiKey, AuditLog, Membership, User
from tests.api import ApiClient, fields_of
from tests.factories import make_user

pytestmark = pytest.mark.django_db

ROW_KEYS = {
    "id",
    "request_id",
    "time",
    "organization_id",
    "ip",
    "user_agent",
    "resource_type",
    "resource_id",
    "resource_target",
    "resource_icon",
    "action",
    "diff",
    "status_code",
    "additional_fields",
    "description",
    "resource_link",
    "user",
}


@pytest.mark.parametrize("model", audit.policies(), ids=lambda model: model.__name__)
def test_every_field_of_an_audited_model_is_declared(model):
    policy = audit.policies()[model]
    declared = [*policy.tracked, *policy.secret, *policy.ignored]
    assert sorted(declared) == sorted(field.attname for field in model._meta.concrete_fields)
    assert hasattr(model, policy.target)
    identity = model._meta.pk if policy.identity == "pk" else model._meta.get_field(policy.identity)
    assert isinstance(getattr(identity, "target_field", identity), UUIDField)  # clients decode it as one


def test_core_models_are_audited():
    names = {model.__name__ for model in audit.policies()}
    assert names >= {"User", "Organization", "Membership", "Group", "ApiKey", "Template", "TemplateVersion"}


def test_row_has_actor_target_request_and_diff(api, org, users):
    answer = api.admin.post(f"organizations/{org.pk}/groups", {"name": "hi"}, HTTP_USER_AGENT="curl/8")
    body = api.auditor.get("audit").body
    assert body["count"] == 1
    (row,) = body["audit_logs"]
    assert set(row) == ROW_KEYS
    assert (row["request_id"], row["user_agent"]) == (answer.headers["X-Coder-Request-Id"], "curl/8")
    assert (row["ip"], row["user"]["username"], row["status_code"]) == ("127.0.0.1", "admin", 201)
    assert row["description"] == "{user} created group {target}"
    assert row["diff"]["name"] == {"old": None, "new": "hi", "secret": False}


def test_actors_hidden_from_the_reader_show_only_id_and_name(api, users, org):
    assert api.user_admin.post(f"organizations/{org.pk}/members/stranger").status_code == 200
    (row,) = api.admin.get("audit").body["audit_logs"]
    user = users.user_admin
    shown = {"id": str(user.pk), "username": "useradmin", "email": "", "organization_ids": [], "roles": []}
    assert row["user"] == shown
    assert api.auditor.get("audit").body["audit_logs"][0]["user"]["email"] == user.email
    assert row["resource_id"] == str(users.stranger.pk)
    for query in (
        f"email={user.email}",
        f"q=email:{user.email}",
    ):  # the email filter does not reveal the address either
        found = {
            name: getattr(api, name).get("audit", QUERY_STRING=query).body["count"] for name in ("admin", "auditor")
        }
        assert found == {"admin": 0, "auditor": 1}
    User.objects.filter(pk=user.pk).update(deleted=True)
    assert api.auditor.get("audit").body["audit_logs"][0]["user"]["email"] == user.email


def test_migration_rewrites_resource_ids_as_uuids(users):
    member = Membership.objects.get(user=users.member)
    key = ApiKey.objects.filter(user=users.owner).first() or tokens.issue(user=users.owner)[0]
    facts = {"action": "write", "status_code": 200, "resource_target": "x", "user_id": users.admin.pk}
    diff_with_user = {"user_id": {"old": None, "new": str(users.stranger.pk), "secret": False}}
    rows = {
        AuditLog.objects.create(resource_type=type_, resource_id=id_, diff=diff, **facts): expected
        for type_, id_, diff, expected in (
            ("api_key", "AAAAAAAAAA", diff_with_user, users.stranger.pk),
            ("api_key", key.pk, {}, users.owner.pk),
            ("organization_member", str(member.pk), {}, users.member.pk),
            ("organization_member", "0", {}, users.admin.pk),
            ("user", str(users.member.pk), {}, users.member.pk),
        )
    }
    with connection.cursor() as cursor:
        cursor.execute(import_module("coderproj.identity.migrations.0004_audit_resource_ids").TO_UUIDS)
    for row, expected in rows.items():
        row.refresh_from_db()
        assert row.resource_id == str(expected)


def test_rejected_changes_are_recorded_without_a_diff(api, org):
    assert api.admin.delete(f"groups/{org.pk}").status_code == 400
    row = AuditLog.objects.get()
    assert (row.action, row.status_code, row.diff) == ("delete", 400, {})


def test_roles_that_may_read_the_log(api, org, other_org, statuses):
    api.admin.post(f"organizations/{org.pk}/groups", {"name": "here"})
    api.stranger.post(f"organizations/{other_org.pk}/groups", {"name": "there"})
    assert statuses(lambda client: client.get("audit")) == {
        "owner": 200,
        "user_admin": 404,
        "template_admin": 404,
        "auditor": 200,
        "admin": 200,
        "member": 404,
        "stranger": 200,
    }
    targets = {
        name: {row["resource_target"] for row in getattr(api, name).get("audit").body["audit_logs"]}
        for name in ("auditor", "admin", "stranger")
    }
    assert targets == {"auditor": {"here", "there"}, "admin": {"here"}, "stranger": {"there"}}


@pytest.fixture
def rows(users):
    """One row per action, oldest first."""
    numbers = []
    for number, action in enumerate(("create", "write", "delete", "login")):
        row = AuditLog.objects.create(
            user_id=users.member.pk if number % 2 else users.owner.pk,
            username="member" if number % 2 else "owner",
            resource_type="template" if number < 2 else "user",
            resource_id=f"id-{number}",
            resource_target=f"Target {number}",
            action=action,
            status_code=200,
        )
        AuditLog.objects.filter(pk=row.pk).update(time=f"2026-01-0{number + 1}T12:00:00Z")
        numbers.append(number)
    return numbers


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [3, 2, 1, 0]),
        ("q=action:create", [0]),
        ("action=write", [1]),
        ("q=resource_type:Template", [1, 0]),
        ("q=resource_type:template action:write", [1]),
        ("q=username:owner", [2, 0]),
        ("q=email:member@example.test", [3, 1]),
        ("email=nobody@example.test", []),
        ('q=resource_target:"target 2"', [2]),
        ("resource_id=id-3", [3]),
        ("q=date_from:2026-01-03", [3, 2]),
        ("q=date_to:2026-01-02", [1, 0]),
        ("date_from=2026-01-02&date_to=2026-01-02", [1]),
        ("q=target", [3, 2, 1, 0]),
        ("q=owner action:delete", [2]),
        ("limit=2&offset=1", [2, 1]),
        ("offset=9", []),
    ],
)
def test_search_filters_the_log(api, rows, query, expected):
    answer = api.owner.get("audit", QUERY_STRING=query)
    assert [int(row["resource_target"][-1]) for row in answer.body["audit_logs"]] == expected
    assert answer.body["count"] == (4 if "offset" in query else len(expected))


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("q=colour:red", ["q"]),
        ("q=action:dance", ["q"]),
        ("action=dance", ["action"]),
        ("q=date_from:yesterday", ["q"]),
        ("date_to=2026-13-01", ["date_to"]),
        ("username=%00", ["username"]),
        ("limit=-1", ["limit"]),
        ("status_code=200.5", ["status_code"]),
        ("after_id=11111111-1111-4111-8111-111111111111", ["after_id"]),
    ],
)
def test_invalid_search_is_400(api, query, fields):
    answer = api.owner.get("audit", QUERY_STRING=query)
    assert (answer.status_code, fields_of(answer)) == (400, fields)


@pytest.mark.parametrize("count", [1, 3])
def test_query_count_does_not_depend_on_rows(django_assert_num_queries, count):
    auditor = make_user(site_roles=("auditor",))
    api = ApiClient(auditor)
    for _ in range(count):
        user = make_user()
        AuditLog.objects.create(user_id=user.pk, resource_type="x", resource_target="x", action="write", status_code=1)
    with django_assert_num_queries(5):  # actor, rows, users, memberships, count
        assert len(api.get("audit").body["audit_logs"]) == count
