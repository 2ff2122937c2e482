"""Users over the API."""

import uuid

import pytest

from coderproj.identity import tokens
from coderproj.identity.models import ApiKey, AuditLog, GitSSHKey, User
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
]
NEW = {"email": "neo@example.test", "username": "neo", "password": "correct horse battery"}


def usernames(answer):
    assert answer.status_code == 200, answer.body
    return [user["username"] for user in answer.body["users"]]


# ---------------------------------------------------------------------- reading
def test_a_user_looks_as_clients_expect(api, people, org):
    User.objects.filter(pk=people.owner.pk).update(last_seen_at="2026-01-01T00:00:00Z")
    body = api.owner.get("users/me").body
    assert list(body) == USER_KEYS
    assert body["roles"] == [{"name": "owner", "display_name": "Owner"}]
    assert body["organization_ids"] == [str(org.pk)]
    for reference in (people.owner.pk, "OWNER", "owner", people.owner.pk.hex):
        assert api.member.get(f"users/{reference}").body["id"] == body["id"]


def test_hidden_users_and_ghosts_are_alike(api, people):
    make_user("gone", deleted=True)
    paths = (people.stranger.pk, "stranger", uuid.uuid4(), "nobody", "gone", "%00", "x" * 500)
    answers = [api.member.get(f"users/{path}") for path in paths]
    assert {answer.status_code for answer in answers[:5]} == {400}
    assert len({answer.raw for answer in answers[:5]}) == 1
    assert {answer.status_code for answer in answers[5:]} <= {400, 404}


def test_whom_one_sees(api, people):
    everybody = sorted(vars(people).values(), key=lambda user: user.created_at)
    names = [user.username for user in everybody]
    for name in ("owner", "user_admin", "template_admin", "auditor"):
        assert usernames(getattr(api, name).get("users")) == names
    assert set(usernames(api.member.get("users"))) == {"owner", "admin", "member"}
    assert usernames(api.stranger.get("users")) == ["stranger"]
    assert usernames(ApiClient(make_user("alone")).get("users")) == ["alone"]


def test_organizations_that_one_cannot_see_are_not_shown(api, people, org, other_org):
    people.member.memberships.create(organization=other_org)
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
def test_searching_users(api, query, expected):
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
def test_searches_that_make_no_sense_are_400(api, query):
    answer = api.owner.get("users", QUERY_STRING=f"q={query}")
    assert (answer.status_code, fields_of(answer)) == (400, ["q"])


def test_users_come_in_pages(api):
    everybody = api.owner.get("users").body["users"]
    names = [user["username"] for user in everybody]
    count = len(names)
    page = api.owner.get("users?limit=2&offset=1")
    assert (usernames(page), page.body["count"]) == (names[1:3], count)
    page = api.owner.get(f"users?after_id={everybody[2]['id']}&limit=2")
    assert (usernames(page), page.body["count"]) == (names[3:5], count)
    assert usernames(api.owner.get("users?offset=1000")) == []
    unknown = api.owner.get(f"users?after_id={uuid.uuid4()}")
    assert (unknown.status_code, fields_of(unknown)) == (400, ["after_id"])
    bad = api.owner.get("users?limit=-1&offset=x&after_id=y")
    assert (bad.status_code, fields_of(bad)) == (400, ["after_id", "limit", "offset"])


@pytest.mark.parametrize("rows", [1, 3])
def test_listing_users_takes_the_same_number_of_queries(django_assert_num_queries, rows):
    api = ApiClient(make_user(site_roles=("owner",)))
    for _ in range(rows - 1):
        make_user()
    with django_assert_num_queries(4):  # actor, count, users, memberships
        assert len(api.get("users").body["users"]) == rows


# ---------------------------------------------------------------------- creating
def test_who_may_create_users(statuses):
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


def test_a_created_user_can_sign_in(api, org):
    answer = api.owner.post(
        "users", {**NEW, "organization_id": str(org.pk), "name": "Neo", "roles": ["owner"], "id": "1"}
    )
    assert answer.status_code == 201
    assert (answer.body["organization_ids"], answer.body["roles"]) == ([str(org.pk)], [])
    row = AuditLog.objects.get(resource_type="user", action="create")
    assert (row.resource_target, row.diff["password"]) == ("neo", {"old": "", "new": "(secret)", "secret": True})
    assert ApiClient().post("users/login", {"email": NEW["email"], "password": NEW["password"]}).status_code == 201


@pytest.mark.parametrize("extra", [{"disable_login": True}, {"login_type": "none"}])
def test_a_user_without_a_password_lands_in_the_default_organization(api, org, extra):
    body = {"email": "bot@example.test", "username": "bot", "organization_ids": [], "roles": None, **extra}
    answer = api.owner.post("users", body)
    assert (answer.status_code, answer.body["organization_ids"]) == (201, [str(org.pk)])
    for password in ("", "!", "None"):
        assert ApiClient().post("users/login", {"email": "bot@example.test", "password": password}).status_code in {
            400,
            401,
        }
    assert api.owner.post("users/bot/keys/tokens", {}).status_code == 201


def test_a_user_of_several_organizations(api, org, other_org):
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
def test_bad_users_are_refused_by_field(api, body, status, fields):
    before = User.objects.count()
    answer = api.owner.post("users", body)
    assert (answer.status_code, fields_of(answer)) == (status, fields)
    assert User.objects.count() == before


# ---------------------------------------------------------------------- ending access
def test_suspending_ends_every_token_and_activating_brings_none_back(api, people):
    answer = api.user_admin.put("users/member/status/suspend")
    assert (answer.status_code, answer.body["status"]) == (200, "suspended")
    assert api.member.get("users/me").status_code == 401
    assert not ApiKey.objects.filter(user=people.member).exists()
    answer = api.user_admin.put(f"users/{people.member.pk}/status/activate")
    assert (answer.status_code, answer.body["status"]) == (200, "active")
    assert api.member.get("users/me").status_code == 401
    rows = AuditLog.objects.filter(resource_target="member").order_by("time")
    assert [(row.action, row.diff["status"]["new"]) for row in rows] == [("write", "suspended"), ("write", "active")]


def test_nobody_suspends_themselves_or_an_owner(api, people):
    assert api.user_admin.put("users/me/status/suspend").status_code == 400
    assert api.user_admin.put("users/owner/status/suspend").status_code == 400
    assert api.owner.put("users/owner/status/suspend").status_code == 400
    assert User.objects.filter(status="suspended").count() == 0
    assert api.owner.get("users/me").status_code == 200


def test_deleting_a_user_keeps_the_row_and_frees_the_name(api, people):
    answer = api.owner.delete("users/member")
    assert (answer.status_code, list(answer.body)) == (200, ["message"])
    assert api.member.get("users/me").status_code == 401
    assert api.owner.get("users/member").status_code == 400
    assert api.owner.delete(f"users/{people.member.pk}").status_code == 400
    assert User.objects.get(pk=people.member.pk).deleted
    assert api.owner.post("users", {**NEW, "username": "member", "email": "member@example.test"}).status_code == 201
    assert AuditLog.objects.get(action="delete").resource_target == "member"


@pytest.mark.parametrize(("method", "path"), [("PUT", "/status/suspend"), ("PUT", "/status/activate"), ("DELETE", "")])
def test_who_may_end_a_users_access(statuses, org, method, path):
    def end(client):
        victim = make_user(organizations=(org,))
        return client.call(method, f"users/{victim.username}{path}")

    assert statuses(end) == {
        "owner": 200,
        "user_admin": 200,
        "template_admin": 403,
        "auditor": 403,
        "admin": 403,
        "member": 403,
        "stranger": 400,
    }


def test_the_last_owner_stays(api, people):
    assert api.owner.delete("users/me").status_code == 400
    assert api.user_admin.delete("users/owner").status_code == 403
    second = make_user("second", site_roles=("owner",))
    assert ApiClient(second).delete("users/owner").status_code == 200
    assert ApiClient(second).delete("users/second").status_code == 400
    assert ApiClient(second).put("users/second/roles", {"roles": []}).status_code == 400
    assert User.objects.get(pk=second.pk).site_roles == ["owner"]


# ---------------------------------------------------------------------- changing
def test_changing_ones_password_takes_the_old_one_and_ends_every_token(people):
    api, other = ApiClient(people.member), ApiClient(people.member)
    wrong = api.put("users/me/password", {"old_password": "wrong", "password": "a new long password"})
    assert (wrong.status_code, fields_of(wrong)) == (400, ["old_password"])
    weak = api.put("users/me/password", {"old_password": "correct horse battery", "password": "password"})
    assert (weak.status_code, fields_of(weak)) == (400, ["password"])
    assert other.get("users/me").status_code == 200
    right = api.put("users/me/password", {"old_password": "correct horse battery", "password": "a new long password"})
    assert (right.status_code, right.raw) == (204, b"")
    assert {client.get("users/me").status_code for client in (api, other)} == {401}
    assert (
        ApiClient().post("users/login", {"email": "member@example.test", "password": "a new long password"}).status_code
        == 201
    )
    assert "a new long password" not in str(list(AuditLog.objects.values()))


def test_administrators_set_passwords_without_the_old_one(api, statuses):
    def change(client):
        return client.put("users/member/password", {"password": "a new long password"})

    assert change(api.member).status_code == 400  # one's own takes the old one
    assert statuses(change) == {
        "owner": 204,
        "user_admin": 204,
        "template_admin": 403,
        "auditor": 403,
        "admin": 403,
        "member": 400,
        "stranger": 400,
    }
    assert api.user_admin.put("users/owner/password", {"password": "a new long password"}).status_code == 403


def test_profiles(api, people):
    answer = api.member.put("users/me/profile", {"username": "renamed", "name": "New Name"})
    assert (answer.status_code, answer.body["username"]) == (200, "renamed")
    assert User.objects.get(pk=people.member.pk).name == "New Name"
    assert api.member.put("users/me/profile", {"username": "RENAMED"}).status_code == 200
    taken = api.member.put("users/me/profile", {"username": "Owner"})
    assert (taken.status_code, fields_of(taken)) == (409, ["username"])
    bad = api.member.put("users/me/profile", {"username": "", "avatar_url": "x" * 1025})
    assert (bad.status_code, fields_of(bad)) == (400, ["username", "avatar_url"])
    assert api.admin.put("users/renamed/profile", {"username": "x"}).status_code == 403
    assert api.user_admin.put("users/renamed/profile", {"username": "member"}).status_code == 200
    forged = {"username": "member", "status": "suspended", "deleted": True, "site_roles": ["owner"], "id": "x"}
    assert api.member.put("users/me/profile", forged).status_code == 200
    member = User.objects.get(pk=people.member.pk)
    assert (member.status, member.deleted, member.site_roles) == ("active", False, [])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "organizations"),
        ("PUT", "users/admin/roles"),
        ("PUT", "users/admin/profile"),
        ("PUT", "users/admin/password"),
        ("PUT", "organizations/acme/members/admin/roles"),
        ("POST", "organizations/acme/groups"),
    ],
)
def test_who_may_not_learns_that_before_what_is_wrong_with_the_body(api, method, path):
    for body in ({}, {"roles": ["nonsense"]}, {"name": 1}):
        assert api.member.call(method, path, body).status_code == 403


def test_site_roles_are_the_owners_to_give(api, statuses):
    def give(client):
        return client.put("users/member/roles", {"roles": ["template-admin"]})

    assert statuses(give) == {
        "owner": 200,
        "user_admin": 200,  # nothing to change any more
        "template_admin": 403,
        "auditor": 403,
        "admin": 403,
        "member": 403,
        "stranger": 400,
    }
    assert api.user_admin.put("users/member/roles", {"roles": ["owner"]}).status_code == 403
    assert api.user_admin.put("users/me/roles", {"roles": ["owner"]}).status_code == 403
    assert api.user_admin.put("users/member/roles", {"roles": []}).status_code == 403
    unknown = api.owner.put("users/member/roles", {"roles": ["king"]})
    assert (unknown.status_code, fields_of(unknown)) == (400, ["roles"])
    answer = api.owner.put("users/member/roles", {"roles": ["auditor", "member", "auditor"]})
    assert answer.body["roles"] == [{"name": "auditor", "display_name": "Auditor"}]
    assert api.member.get("users/me/roles").body["roles"] == ["auditor"]
    row = AuditLog.objects.filter(status_code=200, resource_target="member").first()
    assert row.diff["site_roles"] == {"old": ["template-admin"], "new": ["auditor"], "secret": False}


def test_which_roles_there_are(api):
    def assignable(client):
        return {role["name"] for role in client.get("users/roles").body if role["assignable"]}

    assert assignable(api.owner) == {"owner", "template-admin", "user-admin", "auditor"}
    assert assignable(api.user_admin) == set()
    assert assignable(api.member) == set()


def test_small_answers_about_users(api):
    assert api.member.get("users/me/login-type").body == {"login_type": "password"}
    assert api.member.get("users/owner/login-type").status_code == 403


def test_the_ssh_key_is_made_once_and_its_private_half_stays_here(api, people):
    first = api.member.get("users/me/gitsshkey").body
    assert first["public_key"].startswith("ssh-ed25519 ")
    assert list(first) == ["user_id", "created_at", "updated_at", "public_key"]
    assert api.member.get("users/me/gitsshkey").body == first
    second = api.member.put("users/me/gitsshkey").body
    assert second["public_key"] != first["public_key"]
    assert api.member.get("users/owner/gitsshkey").status_code == 403
    assert api.owner.get(f"users/{people.member.username}/gitsshkey").body == second
    stored = bytes(GitSSHKey.objects.get(user=people.member).encrypted_private_key)
    assert b"PRIVATE KEY" not in stored
    row = AuditLog.objects.filter(resource_type="git_ssh_key").get()
    assert row.diff["encrypted_private_key"]["secret"] is True
    assert stored.hex() not in str(row.diff)


def test_a_narrow_key_sees_nobody(people):
    _, token = tokens.issue(user=people.owner, scope="application_connect")
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
