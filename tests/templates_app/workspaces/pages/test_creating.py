"""Creating a workspace from a template, and where that is offered."""

import pytest

from templates_app.models import Template, TemplateAccess
from templates_app.workspaces.models import Workspace
from tests.factories import make_organization, make_template, make_user, make_version
from tests.pages import browser, text_of
from tests.templates_app.workspaces.pages.conftest import create, finish_build

pytestmark = pytest.mark.django_db
PAGE = "/templates/acme/web/workspace"
GIVEN = {"name": "dev", "mode": "never", "hours": "", "parameter.region": "us", "parameter.cpu": "4"}


def test_form_suggests_a_free_name_and_shows_what_is_built(ada, template):
    client = browser(ada)
    page = client.get(PAGE)
    assert 'name="name" value="web"' in page.content.decode()
    text = text_of(page)
    for part in ("New workspace from Web machines", "docker_container", "region Fixed once built", "cpu = 2"):
        assert part in text
    create(ada, template, "web")
    create(ada, template, "WEB-2")
    assert 'name="name" value="web-3"' in client.get(PAGE).content.decode()


def test_workspace_is_created_with_its_values_and_schedule(ada, template):
    given = GIVEN | {"mode": "weekly", "days": ["1", "3"], "time": "08:30", "zone": "Europe/Berlin", "hours": "1.5"}
    response = browser(ada).post(PAGE, given)
    assert response["Location"] == "/@ada/dev"
    workspace = Workspace.objects.get()
    assert workspace.owner == ada
    assert workspace.autostart_schedule == "CRON_TZ=Europe/Berlin 30 8 * * 1,3"
    assert workspace.ttl_ms == 5_400_000
    assert dict(workspace.latest_build.parameters.values_list("name", "value")) == {"region": "us", "cpu": "4"}


def test_automatic_stop_of_the_template_can_be_switched_off(ada, template):
    Template.objects.update(default_ttl_ms=3_600_000)
    assert 'name="hours" value="1"' in browser(ada).get(PAGE).content.decode()
    browser(ada).post(PAGE, GIVEN)
    assert Workspace.objects.get().ttl_ms is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": "no good"}, "Must be 1 to 32 letters and digits"),
        ({"name": ""}, "This field is required."),
        ({"name": "x" * 33}, "at most 32 characters (it has 33)"),
        ({"hours": "200"}, "at most 7 days"),
        ({"hours": "0.01"}, "at least one minute"),
        ({"hours": "soon"}, "Enter a number."),
        ({"mode": "cron", "cron": "* * * * *"}, "more often than once an hour"),
        ({"mode": "cron", "cron": "0 9 1 * *"}, "day of month and month must be *"),
        ({"mode": "cron", "cron": ""}, "Enter a schedule."),
        ({"mode": "weekly", "time": "09:00", "zone": "UTC"}, "Choose at least one day."),
        ({"mode": "weekly", "days": ["1"], "time": "25:00"}, "Enter a valid time."),
        ({"mode": "weekly", "days": ["1"], "time": "09:00", "zone": "Mars/Base"}, "Select a valid choice."),
        ({"parameter.cpu": "many"}, "cpu"),
    ],
)
def test_wrong_values_are_named_at_their_fields(ada, template, wrong, says):
    client = browser(ada)
    response = client.post(PAGE, GIVEN | wrong)
    assert response.status_code == 400
    assert says in text_of(response)
    assert not Workspace.objects.exists()
    assert client.post(f"{PAGE}/check", GIVEN | wrong).status_code == 200


def test_taken_name_is_refused_while_typing_and_at_the_end(ada, template):
    create(ada, template)
    client = browser(ada)
    assert "The owner already has a workspace with this name." in text_of(client.post(f"{PAGE}/check", GIVEN))
    response = client.post(PAGE, GIVEN | {"name": "DEV"})
    assert response.status_code == 409
    assert "The owner already has a workspace with this name." in text_of(response)


def test_administrators_create_workspaces_of_others(ada, owner, template):
    client = browser(owner)
    assert "The username of the member" in text_of(client.get(PAGE))
    assert client.post(PAGE, GIVEN | {"owner": "ADA"})["Location"] == "/@ada/dev"
    assert "no member &#x27;nobody&#x27;" in client.post(PAGE, GIVEN | {"owner": "nobody"}).content.decode()


def test_members_create_only_their_own_workspaces(ada, owner, template):
    assert "The username of the member" not in text_of(browser(ada).get(PAGE))
    browser(ada).post(PAGE, GIVEN | {"owner": "owner"})
    assert Workspace.objects.get().owner == ada


def test_template_that_cannot_be_built_is_explained(ada, owner, template):
    version = make_version(
        user=owner, organization=template.organization, template=template, name="bad", error="no provider"
    )
    Template.objects.update(active_version=version)
    response = browser(ada).get(PAGE)
    assert "The import of version bad failed: no provider" in text_of(response)
    assert "Create the workspace" not in text_of(response)
    assert browser(ada).post(PAGE, GIVEN).status_code == 400


# ---------------------------------------------------------------------- where it is offered
def test_templates_offer_workspaces_to_members(ada, template):
    for page in ("/templates", "/templates/acme/web", "/templates/acme/web/workspaces", "/home"):
        assert f'href="{PAGE}"' in browser(ada).get(page).content.decode()


def test_templates_of_other_organizations_offer_none(template):
    reader = make_user(organizations=(make_organization(),), site_roles=("template-admin",))
    client = browser(reader)
    for page in ("/templates", "/templates/acme/web"):
        response = client.get(page)
        assert "Web machines" in text_of(response)
        assert f'href="{PAGE}"' not in response.content.decode()
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE, GIVEN).status_code == 403


def test_template_without_access_is_not_found(ada, template):
    TemplateAccess.objects.all().delete()
    assert browser(ada).get(PAGE).status_code == 404


# ---------------------------------------------------------------------- home
def test_members_start_at_their_home(ada, template, running):
    client = browser(ada)
    assert client.get("/")["Location"] == "/home"
    text = text_of(client.get("/home"))
    for part in ("Welcome, ada", "dev Web machines", "Running", "Templates"):
        assert part in text


def test_home_without_workspaces_and_templates(organization):
    text = text_of(browser(make_user(organizations=(organization,))).get("/home"))
    assert "Ask an administrator for access to a template." in text


def test_administrators_start_at_the_templates(owner, organization, ada, template):
    assert browser(owner).get("/")["Location"] == "/templates"
    admin = make_user(organizations=(organization,), organization_roles=("organization-admin",))
    assert browser(admin).get("/")["Location"] == "/templates"
    TemplateAccess.objects.create(template=template, user=ada, role="admin")
    assert browser(ada).get("/")["Location"] == "/templates"


# ---------------------------------------------------------------------- the template's pages
def test_tab_of_a_template_shows_the_visible_workspaces(ada, owner, organization, running):
    other = make_template(user=owner, organization=organization, name="other")
    create(ada, other, "elsewhere")
    tab = "/templates/acme/web/workspaces"
    assert "dev Web machines" in text_of(browser(ada).get(tab))
    assert "elsewhere" not in text_of(browser(owner).get(tab))
    assert "dev Web machines" in text_of(browser(owner).get(tab))
    bob = make_user("bob", organizations=(organization,))
    assert "No workspace of this template is visible to you." in text_of(browser(bob).get(tab))


def test_promotion_says_how_many_workspaces_keep_their_version(ada, owner, running, template):
    make_version(user=owner, organization=template.organization, template=template, name="v2")
    page = "/templates/acme/web/versions/v2/promote"
    client = browser(owner)
    assert "1 workspace runs on another version. It keeps that version" in text_of(client.get(page))
    create(ada, template, "more")
    finish_build()
    for address in (page, "/templates/acme/web", "/templates/acme/web/versions/v2"):
        assert "2 workspaces run on other versions. They keep their versions" in text_of(client.get(address))
