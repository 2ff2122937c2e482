"""The audit tab of a template."""

import pytest

from coderproj.base.errors import Conflict
from coderproj.identity.actor import Actor
from templates_app.models import AccessRole
from templates_app.services import access, archiving, templates, versions
from tests.factories import make_template, make_user, make_version
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db
OWN = "/templates/acme/web/audit"


@pytest.fixture
def web(owner, organization):
    return make_template(user=owner, organization=organization, name="web", description="old")


def test_audit_tab_shows_actor_action_and_changes(owner, organization, web):
    actor = Actor.of(owner)
    mira = make_user("mira", organizations=(organization,))
    second = make_version(user=owner, organization=organization, template=web, name="second")
    first = web.active_version.name
    templates.update(actor, web, {"description": "<b>new</b>"})
    templates.promote(actor, web, second.pk)
    access.update_access_list(actor, web, user_roles={str(mira.pk): AccessRole.ADMIN}, group_roles={})
    versions.update(actor, second, name="v2", message=None)
    make_template(user=owner, organization=organization, name="other")
    with pytest.raises(Conflict):
        templates.update(Actor.of(mira), web, {"name": "other"})
    answer = browser(owner).get(OWN)
    text = text_of(answer)
    assert "ada updated the template web" in text
    assert "description old now <b>new</b>" in text
    assert f"active version {first} now v2" in text
    assert "users mira: admin" in text
    assert "ada updated the template version v2 name second now v2" in text
    assert "mira tried to update the template web rejected, 409" in text
    assert "&lt;b&gt;new&lt;/b&gt;" in answer.content.decode()


def test_rows_are_filtered_by_the_address(owner, organization, web):
    mira = make_user("mira", organizations=(organization,), organization_roles=("organization-admin",))
    second = make_version(user=owner, organization=organization, template=web, name="second")
    archiving.set_archived(Actor.of(mira), second, True)
    templates.update(Actor.of(owner), web, {"description": "new"})
    client = browser(owner)
    assert "archived" in text_of(client.get(f"{OWN}?who=MIRA"))
    assert "description" not in text_of(client.get(f"{OWN}?who=MIRA")).replace("No description", "")
    assert "No matching events" in text_of(client.get(f"{OWN}?action=delete"))
    assert "archived" in text_of(client.get(f"{OWN}?action=nonsense"))


def test_audit_tab_excludes_other_templates_and_explains_an_empty_log(owner, organization, web):
    other = make_template(user=owner, organization=organization, name="other")
    templates.update(Actor.of(owner), other, {"description": "elsewhere"})
    text = text_of(browser(owner).get(OWN))
    assert "No events of this template yet." in text
    assert "elsewhere" not in text


def test_audit_tab_requires_permission(organization, owner, web):
    member = browser(make_user("mira", organizations=(organization,)))
    assert OWN not in member.get("/templates/acme/web").content.decode()
    assert member.get(OWN).status_code == 404
    auditor = browser(make_user("otto", site_roles=("auditor",)))
    assert OWN in auditor.get("/templates/acme/web").content.decode()
    assert auditor.get(OWN).status_code == 200
    admin = browser(make_user("olga", organizations=(organization,), organization_roles=("organization-admin",)))
    assert admin.get(OWN).status_code == 200
