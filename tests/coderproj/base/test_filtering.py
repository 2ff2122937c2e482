"""List filters: an invalid value gives 400 and names the parameter. The tests of each list cover the results."""

import pytest

from coderproj.base import filtering
from coderproj.identity.filters import AuditLogFilter, UserFilter
from provisioning.filters import JobFilter
from templates_app.filters import TemplateFilter, VersionFilter
from tests.api import ApiClient, fields_of
from tests.world import make_world

pytestmark = pytest.mark.django_db

LISTS = {
    "users": ("users", UserFilter),
    "audit": ("audit", AuditLogFilter),
    "templates": ("templates", TemplateFilter),
    "templates of an organization": ("organizations/<organization>/templates", TemplateFilter),
    "versions": ("templates/<template>/versions", VersionFilter),
    "jobs": ("organizations/<organization>/provisionerjobs", JobFilter),
}
BAD = {
    "status": "odd",
    "role": "member,odd",
    "type": "odd",
    "action": "odd",
    "archived": "maybe",
    "deleted": "1",
    "created_after": "yesterday",
    "created_before": "2026-02-30T00:00:00Z",
    "date_from": "2026-13-01",
    "date_to": "x",
    "status_code": "many",
    "worker": "not-an-id",
    "initiator": "nobody",
    "author": "nobody",
}


@pytest.mark.parametrize("name", LISTS)
def test_every_invalid_value_is_400_and_names_the_parameter(name):
    pattern, filter_set = LISTS[name]
    world = make_world(1)
    api, path = ApiClient(world.owner), world.path(pattern)
    for parameter in filter_set.base_filters:
        if parameter in BAD:
            answer = api.get(path, QUERY_STRING=f"{parameter}={BAD[parameter]}")
            assert (answer.status_code, fields_of(answer)) == (400, [parameter]), parameter
        answer = api.get(path, QUERY_STRING=f"{parameter}=%00")
        assert answer.status_code in {400, 404}, parameter
        assert api.get(path, QUERY_STRING=f"{parameter}=").status_code == 200


@pytest.mark.parametrize("name", ["users", "audit", "templates", "templates of an organization"])
def test_filters_are_keys_of_q(name):
    pattern, filter_set = LISTS[name]
    world = make_world(1)
    api, path = ApiClient(world.owner), world.path(pattern)
    for parameter in set(filter_set.base_filters) & set(BAD):
        answer = api.get(path, QUERY_STRING=f"q={parameter}:{BAD[parameter]}")
        assert (answer.status_code, fields_of(answer)) == (400, ["q"]), parameter
        assert answer.body["validations"][0]["detail"].startswith(f"{parameter}: ")


@pytest.mark.parametrize(
    "moment",
    ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00+02:00", "2026-01-01", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"],
)
@pytest.mark.parametrize("parameter", ["created_after", "created_before"])
def test_times(moment, parameter):
    world = make_world(1)
    answer = ApiClient(world.owner).get(
        world.path(LISTS["jobs"][0]), QUERY_STRING=f"{parameter}={moment.replace('+', '%2B')}"
    )
    assert answer.status_code == 200
    assert bool(answer.body) == ((moment < "2026-02") == (parameter == "created_after"))


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"])
def test_times_outside_of_the_supported_range(moment):
    world = make_world(1)
    answer = ApiClient(world.owner).get(world.path(LISTS["jobs"][0]), QUERY_STRING=f"created_after={moment}")
    assert answer.status_code == 200


@pytest.mark.parametrize("name", LISTS)
def test_filters_are_described_in_the_schema(name):
    _, filter_set = LISTS[name]
    described = {parameter.name: parameter for parameter in filtering.parameters(filter_set)}
    assert set(described) == {*filter_set.base_filters, *(["q"] if filter_set.text_lookups else [])}
    assert all(parameter.description or parameter.enum for parameter in described.values())
