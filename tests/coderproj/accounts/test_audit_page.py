"""The page of the audit log."""

import pytest

from coderproj.base.errors import DomainError
from coderproj.identity import audit, groups, users
from coderproj.identity.actor import Actor, Client
from coderproj.identity.groups import GroupChange
from coderproj.identity.models import AuditAction, AuditLog
from tests.factories import make_organization, make_user
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def history(owner, member, organization):
    """A group was created, then renamed with a new member; a password was changed; a deletion was rejected."""
    actor = Actor.of(owner, client=Client(ip="192.0.2.7"))
    group = groups.create_group(actor, organization, name="night-shift")
    groups.update_group(actor, group, GroupChange(add_users=[str(member.pk)], name="nights"))
    users.change_password(actor, member, password="another good battery")
    with pytest.raises(DomainError):
        users.delete(actor, owner)
    return group


def test_log_shows_changes_with_names(owner, history):
    answer = browser(owner).get("/audit")
    text = text_of(answer)
    assert "ada created the group night-shift" in text
    assert "name night-shift now nights" in text
    assert "members mira" in text
    assert "192.0.2.7" in text
    assert f'href="/groups/{history.pk}"' in answer.content.decode()


def test_rejected_change_is_marked(owner, history):
    assert "tried to delete the user ada rejected, 400" in text_of(browser(owner).get("/audit"))


@pytest.mark.promise("S11")
def test_secrets_are_not_shown(owner, history):
    text = text_of(browser(owner).get("/audit"))
    assert "password replaced" in text
    assert "(secret)" not in text
    assert "pbkdf2" not in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=night", 2),
        ("action=create", 1),
        ("resource_type=user", 2),
        ("username=ADA", 4),
        ("username=mira", 0),
        ("email=ada@example.test", 4),
        ("status_code=400", 1),
        ("date_from=2000-01-01", 4),
        ("date_to=2000-01-01", 0),
        ("action=create&resource_type=user", 0),
    ],
)
def test_filters_match_the_api(query, found, owner, history):
    page = browser(owner).get(f"/audit?{query}")
    assert page.content.decode().count('class="event"') == found
    assert ("No matching events." in text_of(page)) == (found == 0)


def test_invalid_filter_error_names_the_field(owner, history):
    text = text_of(browser(owner).get("/audit?date_from=yesterday&status_code=ok"))
    assert "From: Enter a valid date." in text
    assert "status_code: " in text
    assert "created the group" not in text


def test_htmx_request_with_invalid_filter_redirects_to_the_page(owner, history):
    answer = browser(owner).get("/audit?date_from=yesterday", headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert answer["HX-Redirect"] == "/audit?date_from=yesterday#list-heading"


def test_filters_from_the_url_are_shown_and_kept(owner, history):
    page = browser(owner).get("/audit?action=create&username=ada&status_code=201&date_from=2000-01-01").content.decode()
    assert '<option value="create" selected>Created</option>' in page
    assert 'name="username" value="ada"' in page
    assert '<input type="hidden" name="status_code" value="201">' in page
    assert 'name="date_from" value="2000-01-01"' in page
    assert 'role="alert"' not in page


def test_unknown_choice_is_shown_and_rejected(owner, history):
    answer = browser(owner).get("/audit?action=create,write")
    assert '<option value="create,write" selected>create,write</option>' in answer.content.decode()
    assert "Action: Select a valid choice." in text_of(answer)


def test_htmx_request_returns_only_the_events(owner, history):
    answer = browser(owner).get("/audit?action=create", headers={"HX-Request": "true"})
    assert answer.content.decode().strip().startswith('<ol class="events">')


def test_link_to_the_unfiltered_list_is_updated_with_the_events(owner, history):
    client = browser(owner)
    part = client.get("/audit?action=create", headers={"HX-Request": "true"}).content.decode()
    assert '<span id="everything" hx-swap-oob="true"><a class="button ghost" href="/audit">' in part
    part = client.get("/audit", headers={"HX-Request": "true"}).content.decode()
    assert '<span id="everything" hx-swap-oob="true"></span>' in part
    page = client.get("/audit?action=create").content.decode()
    assert page.count('<span id="everything"><a') == page.count('id="everything"') == 1


def test_organization_admin_reads_only_their_organization(owner, history, organization):
    elsewhere = make_organization("elsewhere")
    groups.create_group(Actor.of(owner), elsewhere, name="hidden")
    olga = make_user("olga", organizations=(organization,), organization_roles=("organization-admin",))
    text = text_of(browser(olga).get("/audit"))
    assert ("night-shift" in text, "hidden" in text, "deleted the user" in text) == (True, False, False)


def test_page_is_404_without_permission(member, history):
    client = browser(member)
    assert client.get("/audit").status_code == 404
    assert "Audit log" not in text_of(client.get("/templates"))


def test_empty_log_explains_itself(owner):
    assert "Changes by users will be listed here." in text_of(browser(owner).get("/audit"))


def test_rows_with_unknown_resource_types_are_shown(owner):
    AuditLog.objects.create(
        username="",
        resource_type="ship",
        resource_id="none",
        resource_target="Ada",
        action=AuditAction.WRITE,
        diff={"sails": {"old": {"main": 1}, "new": ["a", "b"], "secret": False}},
        status_code=200,
    )
    assert "Unknown user updated the ship Ada sails main: 1 now a, b" in text_of(browser(owner).get("/audit"))


def test_every_audited_type_is_a_filter_choice(owner):
    page = browser(owner).get("/audit").content.decode()
    for policy in audit.policies().values():
        assert f'value="{policy.resource_type}"' in page
