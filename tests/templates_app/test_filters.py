"""Filters of templates and versions: their results, and the shape of filtered lists."""

import pytest

from templates_app.models import Template, TemplateVersion
from tests.api import ApiClient
from tests.factories import make_organization, make_template, make_user, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def org():
    return make_organization("acme", is_default=True)


@pytest.fixture
def owner(org):
    return make_user("ada", organizations=(org,), site_roles=("owner",))


def names(user, path, query=""):
    answer = ApiClient(user).get(path, QUERY_STRING=query)
    assert answer.status_code == 200, answer.body
    return [row["name"] for row in answer.body]


@pytest.mark.parametrize("path", ["templates", "organizations/acme/templates"])
def test_filters_of_templates(owner, org, path):
    make_template(user=owner, organization=org, name="web")
    make_template(user=owner, organization=org, name="web-2", display_name="Data")
    make_template(user=owner, organization=org, name="data")
    make_template(user=owner, organization=org, name="gone", deleted=True)
    assert names(owner, path) == ["data", "web", "web-2"]
    assert names(owner, path, "name=dat") == ["data", "web-2"]
    assert names(owner, path, "exact_name=WEB") == ["web"]
    assert names(owner, path, "deleted=true") == ["gone"]
    assert names(owner, path, "deleted=false") == ["data", "web", "web-2"]
    assert names(owner, path, "q=web") == ["web", "web-2"]
    assert names(owner, path, "q=web+deleted:true") == []
    assert names(owner, path, "q=exact_name:web&exact_name=data") == ["data"]
    assert names(owner, path, "organization=acme&name=web") == ["web", "web-2"]
    assert ApiClient(owner).get(path, QUERY_STRING="organization=nowhere").status_code == 404


def test_filters_do_not_reveal_hidden_templates(owner, org):
    member = make_user(organizations=(org,))
    make_template(user=owner, organization=org, name="secret", everyone=False)
    make_template(user=owner, organization=org, name="gone", everyone=False, deleted=True)
    for path in ("templates", "organizations/acme/templates"):
        assert names(member, path, "exact_name=secret") == []
        assert names(member, path, "deleted=true") == []
    assert names(make_user(), f"organizations/{org.pk}/templates", "name=secret") == []


def test_a_filtered_list_of_templates_has_the_shape_of_the_full_list(owner, org):
    make_template(user=owner, organization=org, name="web", description="é", icon="/x.svg")
    api = ApiClient(owner)
    assert (
        api.get("organizations/acme/templates").raw
        == api.get("organizations/acme/templates", QUERY_STRING="name=w").raw
    )


def test_filters_of_versions(owner, org):
    other = make_user("bob", organizations=(org,))
    template = make_template(user=owner, organization=org)
    active = template.active_version.name
    make_version(user=other, organization=org, template=template, name="Blue")
    make_version(user=owner, organization=org, template=template, name="green", error="no")
    make_version(user=owner, organization=org, template=template, name="blue-2", finished=False)
    TemplateVersion.objects.filter(name="green").update(archived=True)
    path = f"templates/{template.pk}/versions"
    assert names(owner, path) == [active, "Blue", "blue-2"]
    assert names(owner, path, "include_archived=true") == [active, "Blue", "green", "blue-2"]
    assert names(owner, path, "name=blue") == ["Blue", "blue-2"]
    assert names(owner, path, "archived=true") == ["green"]
    assert names(owner, path, "archived=false") == [active, "Blue", "blue-2"]
    assert names(owner, path, "status=failed,pending") == ["blue-2"]
    assert names(owner, path, "status=failed,pending&include_archived=true") == ["green", "blue-2"]
    assert names(owner, path, "author=bob") == ["Blue"]
    assert names(owner, path, "author=me&archived=false") == [active, "blue-2"]
    blue = TemplateVersion.objects.get(name="Blue")
    moment = blue.created_at.isoformat().replace("+", "%2B")
    assert names(owner, path, f"created_after={moment}") == ["blue-2"]
    assert names(owner, path, f"created_before={moment}") == [active]
    assert names(owner, path, "archived=false&limit=1&offset=1") == ["Blue"]
    assert names(owner, path, f"archived=false&after_id={blue.pk}") == ["blue-2"]
    unknown = ApiClient(owner).get(path, QUERY_STRING=f"archived=false&after_id={template.pk}")
    assert unknown.body == ApiClient(owner).get(path, QUERY_STRING=f"after_id={template.pk}").body
    assert unknown.status_code == 400


def test_a_filtered_list_of_versions_has_the_shape_of_the_full_list(owner, org):
    template = make_template(user=owner, organization=org)
    make_version(user=owner, organization=org, template=template, error="no")
    api, path = ApiClient(owner), f"templates/{template.pk}/versions"
    assert api.get(path).raw == api.get(path, QUERY_STRING="archived=false").raw


def test_versions_of_a_hidden_template_stay_hidden(owner, org):
    template = make_template(user=owner, organization=org, everyone=False)
    member = ApiClient(make_user(organizations=(org,)))
    assert member.get(f"templates/{template.pk}/versions", QUERY_STRING="archived=false").status_code == 404
    assert Template.objects.count() == 1
