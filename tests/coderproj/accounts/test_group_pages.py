"""Pages of groups and organizations."""

import pytest

from coderproj.accounts.pages import group as group_pages
from coderproj.accounts.pages import organizations
from coderproj.identity.models import EVERYONE, AuditLog, Group, GroupMembership, Membership, Organization
from templates_app.models import AccessRole, TemplateAccess
from tests.factories import make_organization, make_template, make_user
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def administrator(organization):
    return make_user("olga", organizations=(organization,), organization_roles=("organization-admin",))


@pytest.fixture
def group(organization, member):
    made = Group.objects.create(organization=organization, name="night-shift", quota_allowance=7)
    GroupMembership.objects.create(group=made, user=member)
    return made


# ---------------------------------------------------------------------- groups
def test_the_list_counts_active_members(owner, member, group, organization):
    gone = make_user(organizations=(organization,), status="suspended")
    GroupMembership.objects.create(group=group, user=gone)
    make_organization("other")
    text = text_of(browser(owner).get("/groups"))
    assert "night-shift acme 1 7" in text
    assert "Everyone All members of the organization acme 2 0" in text
    assert "All organizations" in text
    only = text_of(browser(owner).get(f"/groups?organization={organization.pk}&q=night"))
    assert "night-shift" in only
    assert "All members" not in only


def test_member_sees_own_groups_without_actions(member, group):
    hidden = Group.objects.create(organization=make_organization(), name="secret")
    client = browser(member)
    text = text_of(client.get("/groups"))
    assert ("night-shift" in text, "secret" in text, "New group" in text) == (True, False, False)
    page = text_of(client.get(f"/groups/{group.pk}"))
    assert "Add the member" not in page
    assert "Delete the group" not in page
    assert client.get(f"/groups/{hidden.pk}").status_code == 404
    assert client.get("/groups/new").status_code == 403
    assert client.get(f"/groups/{group.pk}/delete").status_code == 403
    for address in ("settings", "members/add", "members/remove", "delete"):
        given = {"name": "x", "quota_allowance": 1, "username": "mira", "user": str(member.pk)}
        assert client.post(f"/groups/{group.pk}/{address}", given).status_code == 403, address
    group.refresh_from_db()
    assert group.name == "night-shift"


def test_group_is_created_changed_and_deleted(administrator, organization):
    client = browser(administrator)
    given = {"organization": str(organization.pk), "name": "day-shift", "quota_allowance": 3, "avatar_url": ""}
    answer = client.post("/groups/new", given)
    group = Group.objects.get(name="day-shift")
    assert answer["Location"] == f"/groups/{group.pk}"
    client.post(f"/groups/{group.pk}/settings", {"name": "days", "quota_allowance": 9, "avatar_url": "/emojis/sun.png"})
    group.refresh_from_db()
    assert (group.name, group.quota_allowance, group.avatar_url) == ("days", 9, "/emojis/sun.png")
    taken = client.post("/groups/new", given | {"name": "days"})
    assert (taken.status_code, "already in use" in text_of(taken)) == (409, True)
    assert "reserved" in text_of(client.post("/groups/new", given | {"name": EVERYONE}))
    client.post(f"/groups/{group.pk}/delete")
    assert not Group.objects.filter(pk=group.pk).exists()


def test_the_organization_is_chosen_in_the_form_of_the_search(owner, organization):
    other = make_organization("other")
    page = browser(owner).get(f"/groups?q=night&organization={other.pk}").content.decode()
    form = page.partition('<form class="toolbar"')[2].partition("</form>")[0]
    assert 'name="q" type="search" autocomplete="off" value="night"' in form
    assert f'<option value="{other.pk}" selected>' in form
    assert "hx-vals" not in form


def test_members_are_added_and_removed(administrator, member, group, organization):
    client = browser(administrator)
    assert "olga is now a member of night-shift" in text_of(
        client.post(f"/groups/{group.pk}/members/add", {"username": "OLGA"}, follow=True)
    )
    again = client.post(f"/groups/{group.pk}/members/add", {"username": "olga@example.test"})
    assert (again.status_code, "olga is already in the group." in text_of(again)) == (400, True)
    unknown = client.post(f"/groups/{group.pk}/members/add", {"username": "nobody"})
    assert "No such user." in text_of(unknown)
    base = f"/groups/{group.pk}/members/remove"
    assert "The user loses the access that the group gives immediately" in text_of(
        client.get(f"{base}?user={member.pk}")
    )
    assert GroupMembership.objects.filter(group=group, user=member).exists()
    answer = client.post(f"{base}?user={member.pk}", follow=True)
    assert f"{member.username} is no longer a member of night-shift." in text_of(answer)
    assert client.get(f"{base}?user={member.pk}").status_code == 404
    assert client.get(base).status_code == 302
    assert list(GroupMembership.objects.filter(group=group).values_list("user__username", flat=True)) == ["olga"]


def test_page_with_form_errors_keeps_working_links(administrator, organization, group, monkeypatch):
    """A form has another address than the page, without the search and the pages of the list."""
    monkeypatch.setattr(organizations, "PAGE_SIZE", 1)
    client = browser(administrator)
    own = f"/organizations/{organization.pk}"
    make_user("zoe", organizations=(organization,))
    page = client.post(f"{own}/members/add", {"username": "nobody"}).content.decode()
    assert "No such user." in page
    assert f'href="{own}?page=2"' in page
    assert f'aria-label="Members" action="{own}"' in page
    monkeypatch.setattr(group_pages, "PAGE_SIZE", 1)
    GroupMembership.objects.create(group=group, user=administrator)
    page = client.post(f"/groups/{group.pk}/members/add", {"username": "nobody"}).content.decode()
    assert f'href="/groups/{group.pk}?page=2"' in page


def test_everyone_keeps_name_and_members(owner, organization):
    client = browser(owner)
    text = text_of(client.get(f"/groups/{organization.pk}"))
    assert "Add the member" not in text
    assert "Delete the group" not in text
    client.post(f"/groups/{organization.pk}/settings", {"name": "All", "quota_allowance": 5, "avatar_url": ""})
    everyone = Group.objects.get(pk=organization.pk)
    assert (everyone.name, everyone.quota_allowance) == (EVERYONE, 5)
    assert client.post(f"/groups/{organization.pk}/members/add", {"username": "ada"}).status_code == 400
    assert client.get(f"/groups/{organization.pk}/delete").status_code == 403
    assert client.get(f"/groups/{organization.pk}/members/remove?user={owner.pk}").status_code == 403


def test_group_shows_visible_templates(owner, member, group, organization):
    web = make_template(user=owner, organization=organization, name="web", everyone=False)
    hidden = make_template(user=owner, organization=organization, name="hidden", everyone=False)
    other = Group.objects.create(organization=organization, name="other")
    TemplateAccess.objects.create(template=web, group=group, role=AccessRole.ADMIN)
    TemplateAccess.objects.create(template=hidden, group=other, role=AccessRole.USE)
    client = browser(member)
    assert "Gives access to 1 web administer" in text_of(client.get(f"/groups/{group.pk}"))
    assert "hidden" not in text_of(client.get(f"/groups/{other.pk}"))
    assert "It gives access to 1 template" in text_of(browser(owner).get(f"/groups/{other.pk}/delete"))


# ---------------------------------------------------------------------- organizations
def test_organizations_are_listed_and_created_by_owners(owner, member):
    make_organization("elsewhere")
    assert "elsewhere" not in text_of(browser(member).get("/organizations"))
    assert browser(member).get("/organizations/new").status_code == 403
    client = browser(owner)
    assert "acme, default" in text_of(client.get("/organizations"))
    client.post("/organizations/new", {"name": "labs", "display_name": "The labs", "description": ""})
    labs = Organization.objects.get(name="labs")
    assert Membership.objects.get(organization=labs).user == owner
    taken = client.post("/organizations/new", {"name": "labs"})
    assert (taken.status_code, "already in use" in text_of(taken)) == (409, True)
    assert "This name is reserved." in text_of(client.post("/organizations/new", {"name": "default"}))


def test_page_without_organization_says_whom_to_ask():
    assert "You are not a member of any organization" in text_of(browser(make_user()).get("/organizations"))


def test_organization_administrator_manages_members(administrator, member, organization):
    client = browser(administrator)
    base = f"/organizations/{organization.pk}"
    client.post(f"{base}/members/role", {"user": str(member.pk), "role": "organization-admin"})
    assert Membership.objects.get(user=member).roles == ["organization-admin"]
    client.post(f"{base}/members/role", {"user": str(member.pk), "role": ""})
    assert Membership.objects.get(user=member).roles == []
    assert client.post(f"{base}/members/role", {"user": "nonsense", "role": ""}).status_code == 404
    assert "The user leaves its groups" in text_of(client.get(f"{base}/members/remove?user={member.pk}"))
    client.post(f"{base}/members/remove?user={member.pk}")
    assert not Membership.objects.filter(user=member).exists()
    assert client.get(f"{base}/members/remove").status_code == 302


def test_an_owner_adds_members(owner, organization):
    outside = make_user("nora")
    client = browser(owner)
    base = f"/organizations/{organization.pk}"
    client.post(f"{base}/members/add", {"username": "nora"})
    assert Membership.objects.filter(user=outside, organization=organization).exists()
    again = client.post(f"{base}/members/add", {"username": "nora"})
    assert (again.status_code, "is already a member of this organization" in text_of(again)) == (409, True)


def test_member_sees_members_without_actions(member, owner, organization):
    client = browser(member)
    base = f"/organizations/{organization.pk}"
    text = text_of(client.get(base))
    assert "ada" in text
    assert not any(offer in text for offer in ("Change", "Remove", "Add the member"))
    given = {"user": str(owner.pk), "role": "organization-admin", "username": "ada"}
    for address in ("members/add", "members/role", f"members/remove?user={owner.pk}"):
        assert client.post(f"{base}/{address}", given).status_code == 403, address
    assert client.get(f"{base}/members/remove?user={owner.pk}").status_code == 403
    assert "ada" not in text_of(client.get(f"{base}?q=mir")).partition("Search members")[2]


# ---------------------------------------------------------------------- settings of an organization
SETTINGS = {"name": "acme-labs", "display_name": "Acme Labs", "description": "All of us", "icon": "/icon/docker.png"}


def test_an_organization_is_renamed_by_its_administrators(administrator, organization):
    client = browser(administrator)
    page = f"/organizations/{organization.pk}"
    assert f"{page}/settings" in client.get(page).content.decode()
    assert 'value="acme"' in client.get(f"{page}/settings").content.decode()
    assert client.post(f"{page}/settings", SETTINGS)["Location"] == page
    organization.refresh_from_db()
    assert {field: getattr(organization, field) for field in SETTINGS} == SETTINGS
    assert "Acme Labs All of us" in text_of(client.get(page))
    row = AuditLog.objects.get(resource_type="organization", action="write")
    assert (row.username, row.status_code) == ("olga", 200)
    assert row.diff["name"] == {"old": "acme", "new": "acme-labs", "secret": False}


@pytest.mark.parametrize(
    ("name", "status"), [("other", 409), ("OTHER", 409), ("default", 400), ("no good", 400), ("", 400)]
)
def test_invalid_name_is_rejected(name, status, administrator, organization):
    make_organization("other")
    answer = browser(administrator).post(f"/organizations/{organization.pk}/settings", SETTINGS | {"name": name})
    assert answer.status_code == status
    assert "Settings of acme" in text_of(answer)
    organization.refresh_from_db()
    assert (organization.name, organization.display_name) == ("acme", "")
    refused = AuditLog.objects.filter(resource_type="organization", action="write")
    assert set(refused.values_list("resource_target", "resource_icon")) <= {("acme", "")}
    assert refused.exists() == (status == 409)


def test_member_cannot_change_the_organization(member, organization):
    client = browser(member)
    page = f"/organizations/{organization.pk}"
    assert f"{page}/settings" not in client.get(page).content.decode()
    assert client.get(f"{page}/settings").status_code == 403
    assert client.post(f"{page}/settings", SETTINGS).status_code == 403
    organization.refresh_from_db()
    assert organization.name == "acme"
