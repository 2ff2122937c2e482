"""Users over the API."""

import uuid

import pytest

from coderproj.identity import tokens
from coderproj.identity.models import AuditLog, User
from tests.api import ApiClient, fields_of
from tests.factories import make_user

pytestmark = pytest.mark.django_db

USER_KEYS = [
    "id",
    "username",
    "email",
    "created_at",
    "last_seen_at",
    "status",
    "organization_ids",
    "roles",
    "avatar_url",
    "name",
    "login_type",
    "updated_at",
    "is_service_account",
]
NEW = {"email": "neo@example.test", "username": "neo", "password": "correct horse battery"}


def usernames(answer):
    assert answer.status_code == 200, answer.body
    return [user["username"] for user in answer.body["users"]]


# ---------------------------------------------------------------------- reading
def test_user_has_the_documented_fields(api, users, org):
    User.objects.filter(pk=users.owner.pk).update(last_seen_at="2026-01-01T00:00:00Z")
    body = api.owner.get("users/me").body
    assert list(body) == USER_KEYS
    assert body["roles"] == [{"name": "owner", "display_name": "Owner"}]
    assert body["organization_ids"] == [str(org.pk)]
    for reference in (users.owner.pk, "OWNER", "owner", users.owner.pk.hex):
        assert api.member.get(f"users/{reference}").body["id"] == body["id"]


def test_hidden_and_unknown_users_give_the_same_response(api, users):
    make_user("gone", deleted=True)
    paths = (users.stranger.pk, "stranger", uuid.uuid4(), "nobody", "gone", "%00", "x" * 500)
    answers = [api.member.get(f"users/{path}") for path in paths]
    assert {answer.status_code for answer in answers[:5]} == {400}
    assert len({answer.raw for answer in answers[:5]}) == 1
    assert {answer.status_code for answer in answers[5:]} <= {400, 404}


def test_visible_users(api, users):
    all_users = sorted(vars(users).values(), key=lambda user: user.created_at)
    names = [user.username for user in all_users]
    for name in ("owner", "user_admin", "template_admin", "auditor"):
        assert usernames(getattr(api, name).get("users")) == names
    assert set(usernames(api.member.get("users"))) == {"owner", "admin", "member"}
    assert usernames(api.stranger.get("users")) == ["stranger"]
    assert usernames(ApiClient(make_user("alone")).get("users")) == ["alone"]


def test_hidden_organizations_are_omitted(api, users, org, other_org):
    users.member.memberships.create(organization=other_org)
    assert api.admin.get("users/member").body["organization_ids"] == [str(org.pk)]
    assert api.owner.get("users/member").body["organization_ids"] == [str(org.pk), str(other_org.pk)]
    assert [row["name"] for row in api.admin.get("users/member/organizations").body] == ["acme"]
    assert [row["name"] for row in api.member.get("users/me/organizations").body] == ["acme", "other"]
    assert api.member.get("users/me/organizations/other").body["id"] == str(other_org.pk)
    assert api.admin.get("users/member/organizations/other").status_code == 404
    assert api.owner.get("users/useradmin/organizations/acme").status_code == 404


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", None),
        ("own", {"owner"}),
        ("EXAMPLE.test", None),
        ("status:active", None),
        ("status:suspended", {"locked"}),
        ('status:"suspended"', {"locked"}),
        ("status:suspended,active role:owner", {"owner"}),
        ("role:Owner,auditor", {"owner", "auditor"}),
        ("role:member", None),
        ("admin role:user-admin", {"useradmin"}),
        ('"Ada Lovelace"', {"locked"}),
        ("lovelace status:active", set()),
    ],
)
def test_search_users(api, query, expected):
    make_user("locked", status="suspended", name="Ada Lovelace")
    answer = api.owner.get("users", QUERY_STRING=f"q={query}")
    found = set(usernames(answer))
    if query.startswith("status:active"):
        assert found == set(User.objects.filter(status="active").values_list("username", flat=True))
    elif expected is None:
        assert len(found) == User.objects.count()
    else:
        assert found == expected
    assert answer.body["count"] == len(found)


@pytest.mark.parametrize(
    "query", ["colour:red", "status:", "status:odd", 'status:"active', "role:king", "role:a role:b", "%00"]
)
def test_invalid_search_is_400(api, query):
    answer = api.owner.get("users", QUERY_STRING=f"q={query}")
    assert (answer.status_code, fields_of(answer)) == (400, ["q"])


def test_pagination(api):
    all_users = api.owner.get("users").body["users"]
    names = [user["username"] for user in all_users]
    count = len(names)
    page = api.owner.get("users?limit=2&offset=1")
    assert (usernames(page), page.body["count"]) == (names[1:3], count)
    page = api.owner.get(f"users?after_id={all_users[2]['id']}&limit=2")
    assert (usernames(page), page.body["count"]) == (names[3:5], count)
    assert usernames(api.owner.get("users?offset=1000")) == []
    unknown = api.owner.get(f"users?after_id={uuid.uuid4()}")
    assert (unknown.status_code, fields_of(unknown)) == (400, ["after_id"])
    bad = api.owner.get("users?limit=-1&offset=x&after_id=y")
    assert (bad.status_code, fields_of(bad)) == (400, ["after_id", "limit", "offset"])


@pytest.mark.parametrize("rows", [1, 3])
def test_query_count_does_not_depend_on_rows(django_assert_num_queries, rows):
    api = ApiClient(make_user(site_roles=("owner",)))
    for _ in range(rows - 1):
        make_user()
    with django_assert_num_queries(4):  # actor, count, users, memberships
        assert len(api.get("users").body["users"]) == rows


# ---------------------------------------------------------------------- creating
def test_roles_that_may_create_users(statuses):
    number = iter(range(100))

    def create(client):
        name = f"new-{next(number)}"
        return client.post("users", {**NEW, "username": name, "email": f"{name}@example.test"})

    allowed = statuses(create)
    assert allowed == {
        "owner": 201,
        "user_admin": 201,
        "template_admin": 403,
        "auditor": 403,
        "admin": 403,
        "member": 403,
        "stranger": 403,
    }


def test_created_user_can_sign_in(api, org):
    answer = api.owner.post(
        "users", {**NEW, "organization_id": str(org.pk), "name": "Neo", "roles": ["owner"], "id": "1"}
    )
    assert answer.status_code == 201
    assert (answer.body["organization_ids"], answer.body["roles"]) == ([str(org.pk)], [])
    row = AuditLog.objects.get(resource_type="user", action="create")
    assert (row.resource_target, row.diff["password"]) == ("neo", {"old": "", "new": "(secret)", "secret": True})
    assert ApiClient().post("users/login", {"email": NEW["email"], "password": NEW["password"]}).status_code == 201


@pytest.mark.parametrize("extra", [{"disable_login": True}, {"login_type": "none"}])
def test_user_without_password_joins_the_default_organization(api, org, extra):
    body = {"email": "bot@example.test", "username": "bot", "organization_ids": [], "roles": None, **extra}
    answer = api.owner.post("users", body)
    assert (answer.status_code, answer.body["organization_ids"]) == (201, [str(org.pk)])
    for password in ("", "!", "None"):
        assert ApiClient().post("users/login", {"email": "bot@example.test", "password": password}).status_code in {
            400,
            401,
        }
    assert api.owner.post("users/bot/keys/tokens", {}).status_code == 201


def test_create_user_in_several_organizations(api, org, other_org):
    answer = api.owner.post("users", {**NEW, "organization_ids": [str(org.pk), str(other_org.pk)]})
    assert set(answer.body["organization_ids"]) == {str(org.pk), str(other_org.pk)}


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        ({}, 400, ["email", "username"]),
        ({**NEW, "password": None}, 400, ["password"]),
        ({**NEW, "password": "short"}, 400, ["password"]),
        ({**NEW, "email": "x"}, 400, ["email"]),
        ({**NEW, "email": "x" * 250 + "@example.test"}, 400, ["email"]),
        ({**NEW, "username": "roles"}, 400, ["username"]),
        ({**NEW, "username": "ne o"}, 400, ["username"]),
        ({**NEW, "username": "neo\n"}, 400, ["username"]),
        ({**NEW, "name": "x" * 129}, 400, ["name"]),
        ({**NEW, "name": "\u0000"}, 400, ["name"]),
        ({**NEW, "organization_id": "x"}, 400, ["organization_id"]),
        ({**NEW, "organization_id": str(uuid.uuid4())}, 404, ["organization_id"]),
        ({**NEW, "organization_ids": [str(uuid.uuid4())]}, 404, ["organization_ids"]),
        ({**NEW, "disable_login": "yes"}, 400, ["disable_login"]),
        ({**NEW, "login_type": "oidc"}, 400, ["login_type"]),
        ({**NEW, "username": "MEMBER"}, 409, ["username"]),
        ({**NEW, "email": "Member@Example.test"}, 409, ["email"]),
        ({**NEW, "username": "member", "email": "member@example.test"}, 409, ["username", "email"]),
    ],
)
def test_invalid_user_reports_the_field(api, body, status, fields):
    before = User.objects.count()
    answer = api.owner.post("users", body)
    assert (answer.status_code, fields_of(answer)) == (status, fields)
    assert User.objects.count() == before


# ---------------------------------------------------------------------- other endpoints
def test_list_of_site_roles(api):
    def assignable(client):
        return {role["name"] for role in client.get("users/roles").body if role["assignable"]}

    assert assignable(api.owner) == {"owner", "template-admin", "user-admin", "auditor"}
    assert assignable(api.user_admin) == set()
    assert assignable(api.member) == set()


def test_login_type(api):
    assert api.member.get("users/me/login-type").body == {"login_type": "password"}
    assert api.member.get("users/owner/login-type").status_code == 403


def test_key_of_narrow_scope_sees_nothing(users):
    _, token = tokens.issue(user=users.owner, scope="application_connect")
    api = ApiClient()
    paths = (
        "users",
        "users/me",
        "users/me/keys/tokens",
        "organizations",
        "groups/" + str(uuid.uuid4()),
        "audit",
        "templates",
    )
    answers = {path: api.get(path, HTTP_CODER_SESSION_TOKEN=token) for path in paths}
    assert answers.pop("users").body == {"users": [], "count": 0}
    assert answers.pop("organizations").body == answers.pop("templates").body == []
    assert {answer.status_code for answer in answers.values()} == {404}
    assert api.post("users/me/keys", HTTP_CODER_SESSION_TOKEN=token).status_code == 404
