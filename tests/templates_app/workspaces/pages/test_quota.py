"""Quotas on the pages on which people decide."""

import pytest

from coderproj.identity.models import Group
from provisioning.engine.base import BuildResult, ImportResult, PlanResult, Resource
from tests.commands import run
from tests.factories import make_template, make_version
from tests.pages import browser, text_of
from tests.templates_app.workspaces.lives import begin, finish_build

pytestmark = pytest.mark.django_db
MACHINE = (Resource("dev", "vm", daily_cost=2),)


@pytest.fixture
def template(owner, organization):
    result = ImportResult(PlanResult(MACHINE), PlanResult())
    return make_template(user=owner, organization=organization, name="costly", result=result)


@pytest.fixture
def workspace(ada, organization, template):
    made = begin(ada, organization, template)
    finish_build(result=BuildResult(MACHINE))
    made.refresh_from_db()
    return made


@pytest.fixture
def budget(organization):
    Group.objects.filter(pk=organization.pk).update(quota_allowance=3)


def texts(user, *paths):
    return [text_of(browser(user).get(path)) for path in paths]


def test_forms_say_what_a_start_costs_and_what_is_left(ada, workspace, budget):
    create, update, start = texts(ada, "/templates/acme/costly/workspace", "/@ada/dev/update", "/@ada/dev/start")
    cost = "a start costs 2 credits a day. The plan of the build decides."
    assert f"With the defaults of its parameters, {cost} You have 1 of 3 credits a day left for it." in create
    assert "A start that costs more than that fails." in create
    for text in (update, start):
        assert f"With the values of its last start with this version, {cost}" in text
        assert "The workspace costs 2 credits a day now. You have 3 of 3 credits a day left for it." in text
        assert "fails" not in text


def test_cost_of_a_start_is_that_of_its_last_values(ada, organization, template, budget):
    """Values other than the defaults, and a version that the workspace was not started with."""
    begin(ada, organization, template)
    finish_build(result=BuildResult((Resource("dev", "vm", daily_cost=3),)))
    (text,) = texts(ada, "/@ada/dev/start")
    assert "With the values of its last start with this version, a start costs 3 credits a day." in text
    result = ImportResult(PlanResult((Resource("dev", "vm", daily_cost=7),)), PlanResult())
    version = make_version(
        user=template.created_by, organization=organization, template=template, name="next", result=result
    )
    (text,) = texts(ada, f"/@ada/dev/update?version={version.name}")
    assert "With the defaults of its parameters, a start costs 7 credits a day." in text
    assert "A start that costs more than that fails." in text


def test_pages_show_the_quota_to_those_who_may_see_it(ada, owner, workspace, budget):
    home, page, user = texts(ada, "/home", "/@ada/dev", f"/users/{ada.pk}")
    assert "2 of 3 credits a day used" in home
    assert "2 of 3 credits a day used" in page
    assert "2 of 3 used" in user
    assert "2 of 3 used" in text_of(browser(owner).get(f"/users/{ada.pk}"))
    assert "2 of 3" not in text_of(browser(ada).get(f"/users/{owner.pk}"))


def test_without_budgets_pages_name_the_cost_alone(ada, workspace):
    create, home, user = texts(ada, "/templates/acme/costly/workspace", "/home", f"/users/{ada.pk}")
    assert "a start costs 2 credits a day." in create
    assert "left for it" not in create
    assert "credits a day used" not in home
    assert "No limit" in user


def test_command_shows_cost_and_quota(ada, workspace, budget):
    shown = run("workspaces", "--as", "ada", "show", "dev")
    assert "It costs 2 credits a day." in shown
    assert "The workspaces of ada cost 2 of 3 credits a day." in shown
