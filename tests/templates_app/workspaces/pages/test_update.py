"""Building a workspace with another version or other values: the form, what changes, and refused values."""

import pytest

from provisioning.engine import base
from provisioning.parameters import GivenValue
from templates_app.models import Template
from templates_app.workspaces.models import BuildParameter, WorkspaceBuild
from templates_app.workspaces.services.values import variables_of
from tests.factories import make_version
from tests.pages import browser, text_of
from tests.templates_app.workspaces.pages.conftest import build, create, finish_build

pytestmark = pytest.mark.django_db
PAGE = "/@ada/dev/update"
CHECK = "/@ada/dev/update/check"


def new_version(owner, template, *parameters, name="v2", schemas=(), stubs=()):
    """Add a version with these parameters, and make it active."""
    plan = base.PlanResult(rich_parameters=parameters)
    result = base.ImportResult(start=plan, stop=plan, unverified_providers=stubs)
    version = make_version(
        user=owner, organization=template.organization, template=template, name=name, result=result, schemas=schemas
    )
    Template.objects.filter(pk=template.pk).update(active_version=version)
    return version


def latest(workspace) -> WorkspaceBuild:
    return WorkspaceBuild.objects.get(latest_of=workspace)


def stored(workspace) -> dict[str, str]:
    return dict(BuildParameter.objects.filter(build__latest_of=workspace).values_list("name", "value"))


def values_shown(response) -> str:
    """Return the preview of the values as text."""
    return text_of(response).partition("Values of the build")[2]


# ---------------------------------------------------------------------- the form
def test_form_has_the_present_values(ada, running):
    page = browser(ada).get(PAGE)
    html = page.content.decode()
    assert 'name="parameter.cpu" value="4"' in html
    assert 'name="parameter.region" value="us"' in html
    field = html.partition('name="parameter.region"')[2].partition(">")[0]
    assert "disabled" in field
    text = text_of(page)
    assert "region Cannot be changed" in text
    assert "It is 4 now and can only increase." in text
    assert "once This build only" in text
    assert "What changes No parameter." in text


def test_ephemeral_values_are_asked_each_time(ada, running):
    client = browser(ada)
    assert client.post(PAGE, {"parameter.cpu": "4", "parameter.once": "reset"}).status_code == 302
    assert stored(running) == {"region": "us", "cpu": "4", "once": "reset"}
    finish_build()
    assert "reset" not in client.get(PAGE).content.decode()
    assert client.post(PAGE, {"parameter.cpu": "4", "parameter.once": ""}).status_code == 302
    assert stored(running) == {"region": "us", "cpu": "4"}


def test_values_are_changed_and_unchanged_ones_kept(ada, running):
    response = browser(ada).post(PAGE, {"parameter.cpu": "6", "parameter.region": "asia"})
    assert response["Location"] == "/@ada/dev"
    assert stored(running) == {"region": "us", "cpu": "6"}
    assert latest(running).template_version_id == running.template.active_version_id


def test_value_against_its_direction_is_refused(ada, running):
    client = browser(ada)
    response = client.post(PAGE, {"parameter.cpu": "3"})
    assert response.status_code == 400
    text = text_of(response)
    assert "Nothing was built." in text
    assert "The value of 'cpu' can only increase: it is 4." in text
    assert latest(running).build_number == 1
    check = client.post(CHECK, {"parameter.cpu": "3"})
    assert "can only increase: it is 4." in text_of(check)
    assert "cpu : 4 → 3" in text_of(check)


def test_empty_text_stands_for_the_default_of_the_version(ada, running):
    assert "cpu = 2" in values_shown(browser(ada).post(CHECK, {"parameter.cpu": ""}))


# ---------------------------------------------------------------------- another version
def test_update_says_what_changes(ada, owner, running, template):
    new_version(
        owner,
        template,
        base.RichParameter(name="cpu", default_value="2", type="number", mutable=True),
        base.RichParameter(name="disk", default_value="10", type="number", mutable=True),
    )
    page = browser(ada).get(PAGE)
    text = text_of(page)
    assert "Update dev to v2" in text
    assert "Changed cpu (has other rules now)" in text
    assert "New disk : 10" in text
    assert "Gone region : us" in text
    assert f"changes?with={running.latest_build.template_version.name}" in page.content.decode()
    assert browser(ada).post(PAGE, {"parameter.cpu": "1", "parameter.disk": "10"}).status_code == 302
    assert latest(running).template_version.name == "v2"
    assert stored(running) == {"cpu": "1"}


def test_present_value_that_the_version_does_not_allow_is_named(ada, owner, running, template):
    options = (base.RichParameterOption("One", "1"), base.RichParameterOption("Two", "2"))
    new_version(owner, template, base.RichParameter(name="cpu", type="number", mutable=True, options=options))
    text = text_of(browser(ada).get(PAGE))
    assert "This version does not allow the present value of cpu ." in text
    refused = browser(ada).post(PAGE, {"parameter.cpu": "4"})
    assert refused.status_code == 400
    assert browser(ada).post(PAGE, {"parameter.cpu": "2"}).status_code == 302


def test_start_that_needs_a_value_leads_to_the_form(ada, owner, stopped, template):
    version = new_version(owner, template, base.RichParameter(name="team", type="string", mutable=True))
    WorkspaceBuild.objects.filter(latest_of=stopped).update(template_version=version)
    response = browser(ada).post("/@ada/dev/start", follow=True)
    assert response.redirect_chain == [("/@ada/dev/update?version=v2", 302)]
    text = text_of(response)
    assert "cannot start with its present values" in text
    assert "team needs a value" in text
    assert browser(ada).post(f"{PAGE}?version=v2", {"parameter.team": ""}).status_code == 400
    assert browser(ada).post(f"{PAGE}?version=v2", {"parameter.team": "web"}).status_code == 302


def test_older_version_can_be_chosen(ada, owner, running, template):
    older = running.latest_build.template_version
    new_version(owner, template)
    text = text_of(browser(ada).get(f"{PAGE}?version={older.name}"))
    assert "Change dev" in text
    assert browser(ada).get(f"{PAGE}?version=missing").status_code == 404


def test_version_that_cannot_be_built_is_explained(ada, owner, running, template):
    make_version(user=owner, organization=template.organization, template=template, name="bad", error="no provider")
    client = browser(ada)
    text = text_of(client.get(f"{PAGE}?version=bad"))
    assert "The import of version bad failed: no provider" in text
    assert client.post(f"{PAGE}?version=bad").status_code == 400
    new_version(owner, template, name="stubs", stubs=("example.org/acme/cloud",))
    text = text_of(client.get(PAGE))
    assert "example.org/acme/cloud" in text
    assert latest(running).build_number == 1


def test_busy_workspace_cannot_be_updated(ada, running):
    build(ada, running, "stop")
    assert "A build of the workspace is active." in text_of(browser(ada).get(PAGE))
    assert browser(ada).post(PAGE, {"parameter.cpu": "6"}).status_code == 409


# ---------------------------------------------------------------------- variables
def test_variables_of_the_workspace_are_kept_and_changed(ada, owner, template):
    schemas = (base.ParameterSchema("image"), base.ParameterSchema("token", sensitive=True))
    new_version(owner, template, schemas=schemas)
    template.refresh_from_db()
    given = [GivenValue("image", "debian"), GivenValue("token", "s3cr3t")]
    workspace = create(ada, template, variables=given)
    client = browser(ada)
    finish_build()
    assert client.post(PAGE, {"variable.image": "ubuntu"}).status_code == 302
    assert variables_of(workspace.pk) == {"image": "ubuntu", "token": "s3cr3t"}
    finish_build()
    assert 'value="ubuntu"' in client.get(PAGE).content.decode()
    page = client.get("/@ada/dev")
    assert "image ubuntu token (secret)" in text_of(page)
    for response in (page, client.get(PAGE), client.post(CHECK, {"variable.image": "x"})):
        assert "s3cr3t" not in response.content.decode()
