"""The access list of a template, and the access in effect."""

import pytest

from coderproj.identity.actor import Actor
from coderproj.identity.models import Group, GroupMembership, Membership, UserStatus
from templates_app.effective_access import explain, users_with_access
from templates_app.models import AccessRole, Template, TemplateAccess
from templates_app.pages import permissions
from tests.factories import make_organization, make_template, make_user
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db
OWN = "/templates/acme/web/permissions"


@pytest.fixture
def web(owner, organization):
    return make_template(user=owner, organization=organization, name="web", everyone=False)


def in_effect(template):
    found = explain(template, list(users_with_access(template)))
    return {row.user.username: (row.role, *row.reasons) for row in found}


# ---------------------------------------------------------------------- in effect
def test_access_list_shows_reasons_for_access(organization, owner, web):
    elsewhere = make_organization("other")
    make_user("tara", site_roles=("template-admin",))
    make_user("otto", site_roles=("auditor",))
    make_user("uma", site_roles=("user-admin",), organizations=(organization,))
    make_user("olga", organizations=(organization,), organization_roles=("organization-admin",))
    make_user("elias", organizations=(elsewhere,), organization_roles=("organization-admin",))
    grouped, listed = (make_user(name, organizations=(organization,)) for name in ("greta", "lars"))
    left = make_user("lea")
    group = Group.objects.create(organization=organization, name="contractors")
    GroupMembership.objects.bulk_create(GroupMembership(group=group, user=user) for user in (grouped, left))
    TemplateAccess.objects.create(template=web, group=group, role=AccessRole.USE)
    TemplateAccess.objects.create(template=web, user=listed, role=AccessRole.ADMIN)
    assert in_effect(web) == {
        "ada": ("admin", "site role Owner"),
        "tara": ("admin", "site role Template Admin"),
        "otto": ("use", "site role Auditor"),
        "olga": ("admin", "Organization Admin"),
        "greta": ("use", "group contractors"),
        "lars": ("admin", "access list entry"),
    }


def test_everyone_covers_members_and_strongest_reason_is_first(organization, owner, web):
    listed = make_user("lars", organizations=(organization,))
    TemplateAccess.objects.create(template=web, group_id=organization.pk, role=AccessRole.USE)
    TemplateAccess.objects.create(template=web, user=listed, role=AccessRole.ADMIN)
    make_user("sue", organizations=(organization,), status=UserStatus.SUSPENDED)
    make_user("stranger")
    assert in_effect(web) == {
        "ada": ("admin", "site role Owner", "group Everyone"),
        "lars": ("admin", "access list entry", "group Everyone"),
    }


def test_access_in_effect_matches_visibility(organization, owner, web):
    users = [owner]
    group = Group.objects.create(organization=organization, name="contractors")
    for number, fields in enumerate(
        (
            {},
            {"site_roles": ("auditor",)},
            {"organizations": (organization,)},
            {"organizations": (organization,), "organization_roles": ("organization-admin",)},
            {"organizations": (organization,)},
            {},
        )
    ):
        user = make_user(**fields)
        users.append(user)
        if number >= 4:
            GroupMembership.objects.create(group=group, user=user)
    TemplateAccess.objects.create(template=web, user=users[1], role=AccessRole.USE)
    TemplateAccess.objects.create(template=web, group=group, role=AccessRole.USE)
    seen = {user.username for user in users if Template.objects.visible(Actor.of(user)).exists()}
    managing = {user.username for user in users if Template.objects.manageable(Actor.of(user)).exists()}
    found = in_effect(web)
    assert set(found) == seen
    assert {name for name, (role, *_) in found.items() if role == "admin"} == managing


# ---------------------------------------------------------------------- the page
def test_empty_access_list_is_explained(owner, web):
    assert "only administrators can use the template" in text_of(browser(owner).get(OWN))


def test_users_and_groups_are_added_changed_and_removed(organization, owner, web):
    mira = make_user("mira", organizations=(organization,))
    client = browser(owner)
    answer = client.post(f"{OWN}/change", {"username": "MIRA@example.test", "role": "use"}, follow=True)
    assert "mira may now use it." in text_of(answer)
    everyone = str(organization.pk)
    client.post(f"{OWN}/change", {"of-group-group": everyone, "of-group-role": "use"})
    client.post(f"{OWN}/change", {"user": str(mira.pk), "role": "admin"})
    entries = {(row.user_id or row.group_id): row.role for row in TemplateAccess.objects.filter(template=web)}
    assert entries == {mira.pk: "admin", organization.pk: "use"}
    text = text_of(client.get(OWN))
    assert "Everyone Group of 2 active users" in text
    assert "mira mira@example.test administer access list entry, group Everyone" in text
    client.post(f"{OWN}/change", {"group": everyone, "role": ""})
    assert not TemplateAccess.objects.filter(template=web, group=organization.pk).exists()


def test_removing_asks_first(organization, owner, web):
    mira = make_user("mira", organizations=(organization,))
    TemplateAccess.objects.create(template=web, user=mira, role=AccessRole.USE)
    TemplateAccess.objects.create(template=web, group_id=organization.pk, role=AccessRole.USE)
    client = browser(owner)
    page = client.get(OWN).content.decode()
    for kind, pk, name, who in (
        ("user", mira.pk, "mira", "The user loses"),
        ("group", organization.pk, "Everyone", "The members of the group lose"),
    ):
        address = f"{OWN}/remove?{kind}={pk}"
        assert f'href="{address}" data-dialog="remove-{pk}"' in page
        assert f'<dialog id="remove-{pk}"' in page
        question = text_of(client.get(address))
        assert f"Remove {name} from the access list?" in question
        assert f"{who} access to web immediately, unless it follows from something else." in question
        assert TemplateAccess.objects.filter(**{kind: pk}).exists()
        assert "The access list is changed." in text_of(client.post(address, follow=True))
        assert not TemplateAccess.objects.filter(**{kind: pk}).exists()
        assert client.get(address).status_code == 404
    assert client.get(f"{OWN}/remove")["Location"] == OWN
    assert client.post(f"{OWN}/remove").status_code == 404


def test_a_mistyped_name_keeps_the_role(owner, web):
    answer = browser(owner).post(f"{OWN}/change", {"username": "nobody", "role": "admin"})
    form = answer.content.decode().partition("Add a user</label>")[2].partition("</form>")[0]
    assert '<option value="admin" selected>' in form
    assert '<option value="use" selected>' not in form


@pytest.mark.parametrize(
    ("group", "role", "text"),
    [
        ("nonsense", "admin", "This group was deleted, or is already on the list."),
        ("", "admin", "This field is required."),
        (None, "king", "Select a valid choice."),
    ],
)
def test_group_errors_are_shown_in_the_group_form(organization, owner, web, group, role, text):
    given = {"of-group-group": str(organization.pk) if group is None else group, "of-group-role": role}
    answer = browser(owner).post(f"{OWN}/change", given)
    assert answer.status_code == 400
    form = answer.content.decode().partition("Add a group</label>")[2].partition("</form>")[0]
    assert text in form
    assert ('<option value="admin" selected>' in form) == (role == "admin")
    assert not TemplateAccess.objects.exists()


def test_page_with_form_errors_keeps_working_links(owner, web, monkeypatch):
    monkeypatch.setattr(permissions, "PAGE_SIZE", 1)
    make_user(site_roles=("owner",))
    page = browser(owner).post(f"{OWN}/change", {"username": "nobody", "role": "use"}).content.decode()
    assert f'action="{OWN}#in-effect"' in page
    assert f'href="{OWN}?page=2"' in page


@pytest.mark.parametrize(("name", "text"), [("nobody", "No such user"), ("", "required")])
def test_unknown_name_is_reported_at_the_field(owner, web, name, text):
    answer = browser(owner).post(f"{OWN}/change", {"username": name, "role": "use"})
    assert answer.status_code == 400
    assert text in text_of(answer)


def test_invalid_input_changes_nothing(owner, web):
    client = browser(owner)
    for data, status in (
        ({}, 404),
        ({"user": "x", "role": "use"}, 400),
        ({"user": str(owner.pk), "role": "king"}, 400),
    ):
        assert client.post(f"{OWN}/change", data).status_code == status
    assert not TemplateAccess.objects.exists()


def test_users_in_effect_are_searched_and_paged(organization, owner, web):
    TemplateAccess.objects.create(template=web, group_id=organization.pk, role=AccessRole.USE)
    people_ = [make_user(f"dev-{number:02}", organizations=(organization,)) for number in range(31)]
    client = browser(owner)
    assert "dev-29" not in text_of(client.get(OWN))
    assert "dev-30" in text_of(client.get(f"{OWN}?page=2"))
    text = text_of(client.get(f"{OWN}?q=EV-1"))
    assert "dev-12" in text
    assert "dev-02" not in text
    assert len(people_) == 31
    assert "No user of that name" in text_of(client.get(f"{OWN}?q=zz"))


def test_names_are_suggested_while_typing(organization, owner, web):
    make_user("mira", organizations=(organization,))
    make_user("omar", organizations=(organization,))
    client = browser(owner)
    assert client.get("/people?username=MI").content.decode().strip() == '<option value="mira"></option>'
    assert client.get("/people?username=").content.decode().strip() == ""


def test_readers_cannot_change_the_access_list(organization, owner, web):
    member = make_user("mira", organizations=(organization,))
    TemplateAccess.objects.create(template=web, user=member, role=AccessRole.USE)
    client = browser(member)
    text = text_of(client.get(OWN))
    assert "mira mira@example.test use" in text
    for word in ("Remove", "Add a user", "In effect"):
        assert word not in text
    assert client.post(f"{OWN}/change", {"username": "ada", "role": "use"}).status_code == 403
    assert client.get(f"{OWN}/remove?user={member.pk}").status_code == 403
    assert client.post(f"{OWN}/remove?user={member.pk}").status_code == 403
    assert TemplateAccess.objects.filter(user=member).exists()


def test_user_who_loses_access_is_redirected_with_a_message(organization, owner, web):
    mira = make_user("mira", organizations=(organization,))
    TemplateAccess.objects.create(template=web, user=mira, role=AccessRole.ADMIN)
    answer = browser(mira).post(f"{OWN}/change", {"user": str(mira.pk), "role": ""}, follow=True)
    assert "You no longer have access to web." in text_of(answer)


def test_members_of_other_organizations_are_not_revealed(organization, web):
    admin = make_user("olga", organizations=(organization,), organization_roles=("organization-admin",))
    make_user("hidden", organizations=(make_organization("other"),))
    client = browser(admin)
    assert client.get("/people?username=hid").content.decode().strip() == ""
    answer = client.post(f"{OWN}/change", {"username": "hidden", "role": "use"})
    assert "No such user" in text_of(answer)
    assert Membership.objects.filter(organization=organization).count() == 2
