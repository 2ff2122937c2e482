"""The settings of templates and versions."""

import pytest

from templates_app.models import AccessRole, Template, TemplateAccess, TemplateVersion
from tests.factories import make_template, make_version
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db
OWN = "/templates/acme/web"
GIVEN = {
    "name": "web",
    "display_name": "Web machines",
    "description": "For the web team",
    "icon": "/icon/docker.png",
    "default_hours": "8.5",
    "allow_user_cancel_workspace_jobs": "on",
}


@pytest.fixture
def web(owner, organization):
    return make_template(user=owner, organization=organization, name="web", default_ttl_ms=1000)


# ---------------------------------------------------------------------- templates
def test_settings_are_saved_and_a_new_name_changes_the_address(owner, web):
    answer = browser(owner).post(f"{OWN}/settings", GIVEN | {"name": "site"}, follow=True)
    assert answer.redirect_chain == [("/templates/acme/site/settings", 302)]
    assert "The settings are saved." in text_of(answer)
    web.refresh_from_db()
    assert (web.name, web.display_name, web.description, web.icon) == (
        "site",
        "Web machines",
        "For the web team",
        "/icon/docker.png",
    )
    assert web.default_ttl_ms == 30_600_000
    assert web.allow_user_cancel_workspace_jobs
    assert 'value="8.5"' in answer.content.decode()


def test_an_unchecked_switch_is_off_and_an_untouched_time_is_kept(owner, web):
    page = browser(owner).get(f"{OWN}/settings").content.decode()
    assert 'name="default_hours" value="0"' in page
    given = {key: value for key, value in GIVEN.items() if key != "allow_user_cancel_workspace_jobs"}
    browser(owner).post(f"{OWN}/settings", given | {"default_hours": "0"})
    web.refresh_from_db()
    assert not web.allow_user_cancel_workspace_jobs
    assert web.default_ttl_ms == 1000


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"name": "no blanks"}, "letters and digits"),
        ({"name": "examples"}, "is reserved"),
        ({"name": "taken"}, "already in use"),
        ({"display_name": "é" * 40}, "at most 64 bytes"),
        ({"description": "x" * 128}, "at most 127"),
        ({"default_hours": "-1"}, "greater than or equal to 0"),
        ({"default_hours": "soon"}, "Enter a number"),
        ({"default_hours": "99999999999"}, "less than or equal"),
    ],
)
def test_invalid_settings_are_reported_and_input_is_kept(owner, organization, web, given, text):
    make_template(user=owner, organization=organization, name="taken")
    answer = browser(owner).post(f"{OWN}/settings", GIVEN | {"icon": "/icon/kept.png"} | given)
    assert answer.status_code in {400, 409}
    assert text in text_of(answer)
    assert "/icon/kept.png" in answer.content.decode()
    assert Template.objects.get(pk=web.pk).icon == ""


def test_deleting_requires_typing_the_name(owner, web):
    client = browser(owner)
    answer = client.post(f"{OWN}/settings/delete", {"confirmation": "Web"})
    assert (answer.status_code, "Type web to delete it." in text_of(answer)) == (400, True)
    assert not Template.objects.get(pk=web.pk).deleted
    answer = client.post(f"{OWN}/settings/delete", {"confirmation": "web"}, follow=True)
    assert "web is deleted. Its name can be used again." in text_of(answer)
    assert Template.objects.get(pk=web.pk).deleted
    assert client.get(OWN).status_code == 404


def test_settings_require_permission(member, web):
    client = browser(member)
    assert "/settings" not in client.get(OWN).content.decode()
    assert client.get(f"{OWN}/settings").status_code == 403
    assert client.post(f"{OWN}/settings", GIVEN).status_code == 403
    assert client.post(f"{OWN}/settings/delete", {"confirmation": "web"}).status_code == 403
    TemplateAccess.objects.create(template=web, user=member, role=AccessRole.ADMIN)
    assert "Delete the template" in text_of(client.get(f"{OWN}/settings"))


# ---------------------------------------------------------------------- versions
@pytest.fixture
def second(owner, organization, web):
    return make_version(user=owner, organization=organization, template=web, name="brave_noether4")


def test_a_version_is_renamed_and_gets_a_message(owner, second):
    path = f"{OWN}/versions/brave_noether4/settings"
    answer = browser(owner).post(path, {"name": "v2", "message": "Better"}, follow=True)
    assert answer.redirect_chain == [(f"{OWN}/versions/v2/settings", 302)]
    second.refresh_from_db()
    assert (second.name, second.message) == ("v2", "Better")


def test_generated_name_can_be_kept(owner, second):
    path = f"{OWN}/versions/brave_noether4/settings"
    assert browser(owner).post(path, {"name": "brave_noether4", "message": "Better"}).status_code == 302
    second.refresh_from_db()
    assert second.message == "Better"


@pytest.mark.parametrize(
    ("name", "text"), [("a b", "letters, digits, dashes"), ("", "required"), ("v1", "already in use")]
)
def test_invalid_version_name_is_reported_at_the_field(owner, web, second, name, text):
    TemplateVersion.objects.filter(pk=web.active_version_id).update(name="v1")
    answer = browser(owner).post(f"{OWN}/versions/brave_noether4/settings", {"name": name, "message": "kept"})
    assert answer.status_code in {400, 409}
    assert text in text_of(answer)
    assert "kept</textarea>" in answer.content.decode()


def test_version_is_archived_and_unarchived(owner, second):
    client = browser(owner)
    path = f"{OWN}/versions/brave_noether4"
    answer = client.post(f"{path}/archive", follow=True)
    assert "brave_noether4 is archived: it cannot be promoted." in text_of(answer)
    assert "Unarchive brave_noether4" in text_of(answer)
    second.refresh_from_db()
    assert second.archived
    client.post(f"{path}/archive", {"archived": "no"})
    second.refresh_from_db()
    assert not second.archived


def test_active_version_cannot_be_archived(owner, web):
    client = browser(owner)
    path = f"{OWN}/versions/{web.active_version.name}"
    assert "Promote another one before archiving it" in text_of(client.get(f"{path}/settings"))
    answer = client.post(f"{path}/archive")
    assert (answer.status_code, "The active version cannot be archived." in text_of(answer)) == (400, True)


def test_a_version_without_a_template_has_settings_too(owner, organization):
    version = make_version(user=owner, organization=organization)
    path = f"/versions/{version.pk}/settings"
    assert browser(owner).post(path, {"name": "fresh", "message": ""})["Location"] == path


def test_member_cannot_change_versions(member, second):
    client = browser(member)
    path = f"{OWN}/versions/brave_noether4"
    assert f"{path}/settings" not in client.get(path).content.decode()
    assert client.get(f"{path}/settings").status_code == 403
    assert client.post(f"{path}/settings", {"name": "mine"}).status_code == 403
    assert client.post(f"{path}/archive").status_code == 403
