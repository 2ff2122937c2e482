"""Behaviour that all viewsets share: methods without an action, OPTIONS, filters and pages of lists."""

import pytest

from tests.api import ApiClient
from tests.factories import make_organization, make_template, make_user
from tests.routes import METHODS, api_routes

pytestmark = pytest.mark.django_db
ROUTES = api_routes()
# Authenticated by the key of a daemon or the token of an agent.
OF_MACHINES = ("provisionerdaemons/", "workspaceagents/me/")


@pytest.fixture
def owner():
    return make_user("olivia", organizations=(make_organization(is_default=True),), site_roles=("owner",))


@pytest.fixture
def template(owner):
    organization = owner.memberships.get().organization
    return make_template(user=owner, organization=organization, name="plain")


def test_a_method_without_an_action_is_405_in_the_envelope(owner):
    api = ApiClient(owner)
    wrong = {}
    for route in ROUTES:
        if route.pattern.startswith(OF_MACHINES):
            continue
        for method in sorted(set(METHODS) - set(route.methods)):
            answer = api.call(method, route.path())
            if answer.status_code != 405 or not answer.body["message"]:
                wrong[method, route.pattern] = answer.status_code
    assert wrong == {}


def test_options_describe_the_view_without_running_it(owner):
    api = ApiClient(owner)
    for route in ROUTES:
        if route.pattern.startswith(OF_MACHINES):
            continue
        answer = api.call("OPTIONS", route.path())
        assert answer.status_code == 200, route
        assert set(answer.body) == {"name", "description", "renders", "parses"}
        assert set(answer.headers["Allow"].split(", ")) >= {*route.methods, "OPTIONS"}


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("status=nonsense", ["status"]),
        ("q=status:nonsense", ["q"]),
        ("q=color:red", ["q"]),
        ("created_after=x&author=nobody", ["created_after"]),
        ("limit=-1&offset=x", ["limit", "offset"]),
        ("after_id=x", ["after_id"]),
        ("name=x&limit=x", ["limit"]),
    ],
)
def test_a_bad_parameter_of_a_list_is_named(owner, template, query, fields):
    if query.startswith("q="):
        path = "users"
    else:
        path = f"templates/{template.pk}/versions"
    answer = ApiClient(owner).get(f"{path}?{query}")
    assert answer.status_code == 400
    assert [problem["field"] for problem in answer.body["validations"]] == fields


def test_filters_apply_only_to_lists(owner, template):
    api = ApiClient(owner)
    assert api.get("templates?name=nothing").body == []
    for query in ("?name=nothing", "?deleted=nonsense", "?q=color:red"):
        assert api.get(f"templates/{template.pk}{query}").body["name"] == "plain"


def test_a_page_of_a_filtered_list(owner, template):
    api = ApiClient(owner)
    path = f"templates/{template.pk}/versions"
    (version,) = api.get(path).body
    assert api.get(f"{path}?name={version['name']}&limit=5").body == [version]
    assert api.get(f"{path}?name={version['name']}&offset=1").body == []
    assert api.get(f"{path}?name={version['name']}&after_id={version['id']}").body == []
    unknown = api.get(f"{path}?name={version['name']}&after_id={template.pk}")
    assert unknown.status_code == 400
    assert "does not exist" in unknown.body["message"]
