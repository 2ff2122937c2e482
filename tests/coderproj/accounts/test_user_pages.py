"""Pages of users."""

import pytest

from coderproj.identity import tokens
from coderproj.identity.models import ApiKey, AuditLog, Group, GroupMembership, LoginType, User
from tests.factories import make_organization, make_user
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture
def user_admin(organization):
    return make_user("ulla", organizations=(organization,), site_roles=("user-admin",))


@pytest.fixture
def member(organization):
    return make_user("mira", organizations=(organization,), name="Mira Bell")


# ---------------------------------------------------------------------- the list
def test_users_are_searched_and_filtered_as_in_the_api(owner, member):
    make_user("sven", status="suspended")
    client = browser(owner)

    def names(query: str) -> set[str]:
        page = client.get(f"/users{query}").content.decode()
        return {
            name for name in ("ada", "mira", "sven") if f"<strong>{name}</strong>" in page.partition('id="list"')[2]
        }

    assert names("") == {"ada", "mira", "sven"}
    assert names("?q=bell") == {"mira"}
    assert names("?q=role:owner") == {"ada"}
    assert names("?status=suspended") == {"sven"}
    assert names("?status=nonsense") == {"ada", "mira", "sven"}
    assert "is not a search key" in text_of(client.get("/users?q=shoe:42"))
    assert "No user matches" in text_of(client.get("/users?q=nobody-like-that"))


def test_member_sees_users_of_own_organizations_without_actions(member, owner):
    make_user("outside", organizations=(make_organization(),))
    client = browser(member)
    answer = client.get("/users")
    assert "outside" not in text_of(answer)
    assert "New user" not in text_of(answer)
    text = text_of(client.get(f"/users/{owner.pk}"))
    for offer in ("Suspend", "Delete", "Save", "API tokens 0", "Audit log", "Set the password"):
        assert offer not in text.partition("Users ada")[2]
    assert client.get("/users/new").status_code == 403
    assert client.post("/users/new", {}).status_code == 403


# ---------------------------------------------------------------------- creating a user
def test_user_is_created_in_the_chosen_organizations(user_admin, organization):
    other = make_organization("other")
    client = browser(user_admin)
    form = text_of(client.get("/users/new"))
    assert "At least 8 characters" in form
    given = {
        "username": "nora",
        "email": "nora@example.test",
        "name": "Nora",
        "password": PASSWORD,
        "organizations": [str(organization.pk), str(other.pk)],
    }
    answer = client.post("/users/new", given)
    nora = User.objects.get(username="nora")
    assert answer["Location"] == f"/users/{nora.pk}"
    assert nora.check_password(PASSWORD)
    assert set(nora.organizations.all()) == {organization, other}


@pytest.mark.parametrize(
    ("change", "said", "status"),
    [
        ({"password": "short"}, "too short", 400),
        ({"password": "password123"}, "too common", 400),
        ({"username": "mira"}, "already in use", 409),
        ({"username": "-mira-"}, "This is not a valid username.", 200),
        ({"username": "me"}, "This username is reserved.", 200),
        ({"organizations": []}, "Choose at least one.", 200),
    ],
)
def test_errors_are_shown_at_their_fields(change, said, status, user_admin, member, organization):
    given = {
        "username": "nora",
        "email": "nora@example.test",
        "password": PASSWORD,
        "organizations": [str(organization.pk)],
    }
    answer = browser(user_admin).post("/users/new", given | change)
    assert (answer.status_code, said in text_of(answer)) == (status, True)
    assert not User.objects.filter(email="nora@example.test").exists()


# ---------------------------------------------------------------------- the page of a user
def test_a_page_shows_groups_organizations_and_roles(owner, member, organization):
    group = Group.objects.create(organization=organization, name="night-shift")
    GroupMembership.objects.create(group=group, user=member)
    text = text_of(browser(owner).get(f"/users/{member.pk}"))
    assert "mira Active" in text
    assert "Groups 1 night-shift acme" in text
    assert "Organizations 1 acme Member" in text


def test_user_is_suspended_and_activated(user_admin, member):
    tokens.issue(user=member, login_type=LoginType.TOKEN, name="laptop")
    client = browser(user_admin)
    assert "All sessions and API tokens of the user end" in text_of(client.get(f"/users/{member.pk}/suspend"))
    client.post(f"/users/{member.pk}/suspend")
    assert not ApiKey.objects.filter(user=member).exists()
    page = text_of(client.get(f"/users/{member.pk}"))
    assert "mira cannot sign in" in page
    assert client.get(f"/users/{member.pk}/suspend").status_code == 403
    client.post(f"/users/{member.pk}/activate")
    member.refresh_from_db()
    assert member.is_active
    assert AuditLog.objects.filter(resource_type="user", action="write").count() == 2


def test_a_user_is_deleted(user_admin, member):
    client = browser(user_admin)
    assert "This cannot be undone" in text_of(client.get(f"/users/{member.pk}/delete"))
    assert client.post(f"/users/{member.pk}/delete")["Location"] == "/users"
    assert client.get(f"/users/{member.pk}").status_code == 404


def test_owners_are_protected_and_users_cannot_suspend_themselves(user_admin, owner):
    client = browser(user_admin)
    text = text_of(client.get(f"/users/{owner.pk}")).partition("Users ada")[2]
    assert not any(offer in text for offer in ("Suspend", "Delete", "Save the", "Set the password"))
    assert client.post(f"/users/{owner.pk}/delete").status_code == 403
    assert client.post(f"/users/{owner.pk}/profile", {"username": "eve"}).status_code == 403
    assert client.post(f"/users/{owner.pk}/password", {"password": PASSWORD}).status_code == 403
    own = browser(owner)
    assert own.get(f"/users/{owner.pk}/suspend").status_code == 403
    assert own.get(f"/users/{owner.pk}/delete").status_code == 403


def test_profile_roles_and_password(owner, member):
    client = browser(owner)
    client.post(f"/users/{member.pk}/profile", {"username": "mimi", "name": "M", "avatar_url": ""})
    client.post(f"/users/{member.pk}/roles", {"roles": ["auditor", "user-admin"]})
    client.post(f"/users/{member.pk}/password", {"password": "another good battery"})
    member.refresh_from_db()
    assert (member.username, member.name, member.site_roles) == ("mimi", "M", ["auditor", "user-admin"])
    assert member.check_password("another good battery")
    client.post(f"/users/{member.pk}/roles", {})
    member.refresh_from_db()
    assert member.site_roles == []


def test_errors_on_the_user_page_are_shown_at_their_fields(owner, member):
    client = browser(owner)
    taken = client.post(f"/users/{member.pk}/profile", {"username": "ada"})
    assert (taken.status_code, "already in use" in text_of(taken)) == (409, True)
    assert "mira" in text_of(taken)
    weak = client.post(f"/users/{member.pk}/password", {"password": "short"})
    assert (weak.status_code, "too short" in text_of(weak)) == (400, True)
    assert "valid choice" in text_of(client.post(f"/users/{member.pk}/roles", {"roles": ["emperor"]}))


def test_only_owners_set_site_roles(user_admin, member):
    client = browser(user_admin)
    assert "Save the roles" not in text_of(client.get(f"/users/{member.pk}"))
    assert client.post(f"/users/{member.pk}/roles", {"roles": ["owner"]}).status_code == 403
    member.refresh_from_db()
    assert member.site_roles == []


def test_own_password_is_changed_on_the_account_page(owner):
    client = browser(owner)
    assert "Set the password" not in text_of(client.get(f"/users/{owner.pk}"))
    answer = client.post(f"/users/{owner.pk}/password", {"password": "another good battery"})
    assert answer["Location"] == "/account"
    owner.refresh_from_db()
    assert owner.check_password(PASSWORD)


def test_only_visible_users_are_suggested(member, owner):
    make_user("adam", organizations=(make_organization(),))
    suggested = browser(member).get("/people?username=ad").content.decode()
    assert 'value="ada"' in suggested
    assert "adam" not in suggested
    assert "adam" in browser(owner).get("/people?username=ad").content.decode()
    assert browser(owner).get("/people?username=").content.decode().strip() == ""
    assert browser(owner).get("/people?username=ad&organization=nonsense").status_code == 200
