"""The resources of workspaces of a version."""

import pytest

from provisioning.engine import base
from tests.factories import make_template, make_version
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db
OWN = "/templates/acme/web"


def test_running_and_stopped_resources_have_graph_and_table(owner, organization):
    agent = base.Agent(name="main", apps=(base.App(slug="code"),), operating_system="linux", architecture="amd64")
    metadata = (base.ResourceMetadata("size", "10 GB"), base.ResourceMetadata("token", "", sensitive=True))
    home = base.Resource(name="home", type="docker_volume", metadata=metadata, daily_cost=2)
    secret = base.Resource(name="invisible", type="null_resource", hide=True)
    found = base.ImportResult(
        start=base.PlanResult(
            resources=(home, secret, base.Resource(name="box", type="docker_container", agents=(agent,)))
        ),
        stop=base.PlanResult(resources=(home,)),
    )
    make_template(user=owner, organization=organization, name="web", result=found)
    answer = browser(owner).get(f"{OWN}/resources")
    page, text = answer.content.decode(), text_of(answer)
    assert page.count("<svg width=") == 2
    assert "created when it starts, 2 credits a day" in text
    assert "kept when it stops" in text
    assert "size: 10 GB" in text
    assert "token: (secret)" in text
    assert "main linux/amd64 , code for owner" in text
    assert "1 more hidden by the template" in text
    assert "invisible" not in text


def test_missing_resources_are_explained(owner, organization):
    make_template(user=owner, organization=organization, name="web")
    text = text_of(browser(owner).get(f"{OWN}/resources"))
    assert "A workspace of this version has no resources." in text
    assert "Nothing is kept" in text


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, "1 resource is hidden by the template."), (2, "2 resources are hidden by the template.")],
)
def test_hidden_resources_are_counted(owner, organization, count, said):
    hidden = tuple(base.Resource(name=f"r{number}", type="null_resource", hide=True) for number in range(count))
    found = base.ImportResult(start=base.PlanResult(resources=hidden), stop=base.PlanResult())
    make_template(user=owner, organization=organization, name="web", result=found)
    assert said in text_of(browser(owner).get(f"{OWN}/resources"))


def test_resources_are_unknown_until_the_import_succeeds(owner, organization):
    template = make_template(user=owner, organization=organization, name="web")
    failed = make_version(user=owner, organization=organization, template=template, error="no")
    for path in (f"{OWN}/resources?version={failed.name}", f"{OWN}/versions/{failed.name}/resources"):
        assert "known once its import has succeeded" in text_of(browser(owner).get(path))
