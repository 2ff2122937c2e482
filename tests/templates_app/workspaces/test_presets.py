"""Presets: stored by an import, listed, and chosen for a new workspace."""

import uuid

import pytest
from django.core.management import CommandError

from provisioning.engine import base
from templates_app.models import Preset, Template
from templates_app.workspaces.models import BuildParameter, Workspace
from tests.api import ApiClient, fields_of
from tests.commands import run
from tests.factories import make_template, make_user, make_version
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db

PARAMETERS = (
    base.RichParameter("size", default_value="1", mutable=True),
    base.RichParameter("zone", default_value="eu", mutable=True),
)
PRESETS = (
    base.Preset("Large", {"size": "8"}, False, "For builds", "/icon/a.svg", 2),
    base.Preset("Far", {"size": "2", "zone": "as"}, True),
)


@pytest.fixture
def template(owner, organization) -> Template:
    plan = base.PlanResult(rich_parameters=PARAMETERS, presets=PRESETS)
    result = base.ImportResult(start=plan, stop=plan)
    return make_template(user=owner, organization=organization, name="web", result=result)


def preset(name: str) -> Preset:
    return Preset.objects.get(name=name)


def values_of(name: str) -> dict[str, str]:
    build = Workspace.objects.get(name=name).latest_build
    return dict(BuildParameter.objects.filter(build=build).values_list("name", "value"))


def create(user, template, **body):
    path = f"organizations/{template.organization_id}/members/me/workspaces"
    return ApiClient(user).post(path, {"name": "dev", "template_id": str(template.pk), **body})


def test_clients_read_presets_in_capitals(member, template):
    large, far = ApiClient(member).get(f"templateversions/{template.active_version_id}/presets").body
    assert large == {
        "ID": str(preset("Large").pk),
        "Name": "Large",
        "Parameters": [{"Name": "size", "Value": "8"}],
        "Default": False,
        "Description": "For builds",
        "Icon": "/icon/a.svg",
        "DesiredPrebuildInstances": 2,
    }
    assert (far["Default"], far["DesiredPrebuildInstances"]) == (True, None)
    assert (
        ApiClient(make_user("stranger")).get(f"templateversions/{template.active_version_id}/presets").status_code
        == 404
    )


def test_a_workspace_has_the_values_of_its_preset(member, template):
    answer = create(
        member,
        template,
        template_version_preset_id=str(preset("Far").pk),
        rich_parameter_values=[{"name": "size", "value": "3"}],
    )
    assert answer.status_code == 201
    assert values_of("dev") == {"size": "3", "zone": "as"}


def test_presets_of_other_versions_are_refused(owner, member, template):
    plan = base.PlanResult(rich_parameters=PARAMETERS, presets=(base.Preset("Other", {"size": "5"}),))
    make_version(
        user=owner,
        organization=template.organization,
        template=template,
        result=base.ImportResult(start=plan, stop=plan),
    )
    for wanted in (preset("Other").pk, uuid.uuid4()):
        answer = create(member, template, template_version_preset_id=str(wanted))
        assert (answer.status_code, fields_of(answer)) == (400, ["template_version_preset_id"])
    answer = create(member, template, template_version_preset_id="x")
    assert (answer.status_code, fields_of(answer)) == (400, ["template_version_preset_id"])
    assert not Workspace.objects.exists()


def test_the_command_chooses_a_preset(owner, template):
    run("workspaces", "create", "dev", "--template", "web", "--preset", "Large", "--no-wait")
    assert values_of("dev") == {"size": "8"}
    with pytest.raises(CommandError, match="no preset 'Small'"):
        run("workspaces", "create", "other", "--template", "web", "--preset", "Small", "--no-wait")
    assert not Workspace.objects.filter(name="other").exists()


def test_the_form_offers_presets_and_begins_with_the_default(member, template):
    client = browser(member)
    page = client.get("/templates/acme/web/workspace")
    assert "Preset: Large Far" in text_of(page)
    assert 'value="as"' in page.content.decode()
    chosen = client.get(f"/templates/acme/web/workspace?preset={preset('Large').pk}").content.decode()
    assert 'value="8"' in chosen
    assert 'value="as"' not in chosen
