"""Pages of templates: the list, the overview, versions, promoting."""

import pytest

from provisioning.engine import base
from templates_app.models import Template, TemplateVersion
from tests.factories import make_template, make_version
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def web(owner, organization):
    return make_template(user=owner, organization=organization, name="web", display_name="Web machines")


# ---------------------------------------------------------------------- the list
def test_empty_list_offers_starters_to_administrators(owner):
    text = text_of(browser(owner).get("/templates"))
    assert "No templates yet" in text
    assert "Docker container" in text


def test_empty_list_tells_members_to_ask_an_administrator(member):
    text = text_of(browser(member).get("/templates"))
    assert "No templates for you yet" in text
    assert "New template" not in text


def test_the_list_is_searched_and_filtered_by_the_address(owner, organization, web):
    broken = make_template(user=owner, organization=organization, name="broken")
    make_version(user=owner, organization=organization, template=broken, error="no")
    gone = make_template(user=owner, organization=organization, name="gone")
    Template.objects.filter(pk=gone.pk).update(deleted=True)
    client = browser(owner)

    def names(query: str) -> set[str]:
        page = client.get(f"/templates{query}").content.decode()
        return {name for name in ("Web machines", "broken", "gone") if f"<strong>{name}" in page}

    assert names("") == {"Web machines", "broken"}
    assert names("?q=machines") == {"Web machines"}
    assert names("?show=failing") == {"broken"}
    assert names("?show=all") == {"Web machines", "broken", "gone"}
    assert names("?show=all&q=o") == {"broken", "gone"}
    assert names("?q=gone") == set()
    assert names("?show=all&q=deleted:true") == {"gone"}
    assert names("?show=nonsense") == {"Web machines", "broken"}
    assert names("?q=nothing") == set()


def test_invalid_search_is_explained(owner, web):
    answer = browser(owner).get('/templates?q="open')
    assert answer.status_code == 200
    assert "is not closed" in text_of(answer)


def test_htmx_request_returns_the_list_and_history_restore_the_page(owner, web):
    client = browser(owner)
    part = client.get("/templates?q=web", headers={"HX-Request": "true"})
    assert "<html" not in part.content.decode()
    assert "Web machines" in text_of(part)
    assert "HX-Request" in part["Vary"]
    back = client.get("/templates?q=web", headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert "<html" in back.content.decode()
    text = text_of(back)
    assert "Daemons online 0 of 0" in text
    assert "Jobs running 0 0 waiting" in text
    assert "New template" in text
    assert "HX-History-Restore-Request" in back["Vary"]


def test_filter_keeps_the_search_text(owner, web):
    page = browser(owner).get("/templates?show=failing&q=web").content.decode()
    form = page.partition('<form class="toolbar"')[2].partition("</form>")[0]
    assert 'id="q" name="q" type="search" autocomplete="off" value="web"' in form
    assert '<button name="show" value="failing" aria-current="true">Import failing</button>' in form
    assert '<button name="show" value="all">All</button>' in form
    # The parameters that Enter sends, and those that a search while typing adds.
    assert form.index('name="show" value="failing" tabindex="-1"') < form.index('name="show" value="active"')
    assert """hx-vals='{"show": "failing"}'""" in form


def test_a_deleted_template_has_no_page(owner, web):
    Template.objects.filter(pk=web.pk).update(deleted=True)
    client = browser(owner)
    assert client.get("/templates/acme/web").status_code == 404
    assert "/templates/acme/web" not in client.get("/templates?show=all").content.decode()


# ---------------------------------------------------------------------- the overview
def test_names_ignore_case_and_short_addresses_redirect(owner, web):
    client = browser(owner)
    assert client.get("/templates/ACME/Web").status_code == 200
    assert client.get("/templates/web")["Location"] == "/templates/acme/web"
    assert client.get("/templates/nothing").status_code == 404


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"error": "broken"}, "failed to import"),
        ({"finished": False}, "waits for a daemon. Developers still get"),
        ({}, "and is not active. Developers still get"),
    ],
)
def test_the_newest_version_is_announced_while_it_is_not_active(owner, organization, web, fields, sentence):
    client = browser(owner)
    assert "Developers still get" not in text_of(client.get("/templates/acme/web"))
    make_version(user=owner, organization=organization, template=web, name="next", **fields)
    text = text_of(client.get("/templates/acme/web"))
    assert sentence in text
    assert ("Promote next" in text) == (not fields)


def test_the_readme_of_the_active_version_is_shown(owner, web):
    TemplateVersion.objects.filter(pk=web.active_version_id).update(readme="---\nname: x\n---\n# Hello\n")
    page = browser(owner).get("/templates/acme/web").content.decode()
    assert "<h2>Hello</h2>" in page
    assert "name: x" not in page


def test_overview_shows_resources_and_parameters(owner, organization):
    box = base.Resource(name="box", type="docker_container", daily_cost=10)
    hidden = base.Resource(name="licence", type="null_resource", hide=True, daily_cost=5)
    asked = (base.RichParameter(name="region", type="string", default_value="eu"),)
    found = base.ImportResult(
        start=base.PlanResult(resources=(box, hidden), rich_parameters=asked), stop=base.PlanResult()
    )
    template = make_template(user=owner, organization=organization, name="pods", result=found)
    answer = browser(owner).get("/templates/acme/pods")
    page, text = answer.content.decode(), text_of(answer)
    assert "While a workspace runs" in text
    assert "While it is stopped" not in text
    assert "box docker_container" in text
    assert "created when it starts, 15 credits a day" in text
    assert "Daily cost per workspace 15 credits" in text
    address = f"/templates/acme/pods/versions/{template.active_version.name}"
    assert f'action="{address}/dry-run"' in page
    assert f'hx-post="{address}/parameters/check"' in page
    assert 'value="eu"' in page
    assert page.count("button primary") == 1, "uploading a version"


def test_forbidden_actions_are_not_offered_to_members(member, owner, organization, web):
    make_version(user=owner, organization=organization, template=web, name="next")
    client = browser(member)
    page = client.get("/templates/acme/web").content.decode()
    for word in ("Promote", "Roll back", "Upload a version"):
        assert word not in page
    for path in ("versions/next/promote", "versions/new"):
        assert client.get(f"/templates/acme/web/{path}").status_code == 403
        assert client.post(f"/templates/acme/web/{path}").status_code == 403
    web.refresh_from_db()
    assert web.active_version.name != "next"


# ---------------------------------------------------------------------- promoting
def test_promoting_asks_and_names_the_consequences(owner, organization, web):
    before = web.active_version.name
    version = make_version(user=owner, organization=organization, template=web, name="next")
    client = browser(owner)
    question = text_of(client.get("/templates/acme/web/versions/next/promote"))
    assert "Make next active?" in question
    assert f"Workspaces built from {before} keep it until their owners update them." in question
    assert client.post("/templates/acme/web/versions/next/promote")["Location"] == "/templates/acme/web"
    web.refresh_from_db()
    assert web.active_version_id == version.pk
    assert "next is now the active version" in text_of(client.get("/templates/acme/web"))
    back = text_of(client.get(f"/templates/acme/web/versions/{before}/promote"))
    assert f"Roll back to {before}?" in back


def test_failed_version_cannot_be_promoted(owner, organization, web):
    make_version(user=owner, organization=organization, template=web, name="bad", error="no")
    text = text_of(browser(owner).get("/templates/acme/web/versions/bad/promote"))
    assert "bad cannot be made active" in text


def test_active_version_is_not_promoted_again(owner, web):
    text = text_of(browser(owner).get(f"/templates/acme/web/versions/{web.active_version.name}/promote"))
    assert "is already the active version" in text


def test_versions_are_paged(owner, organization, web):
    for number in range(31):
        make_version(user=owner, organization=organization, template=web, name=f"v{number}")
    client = browser(owner)
    first = text_of(client.get("/templates/acme/web/versions"))
    assert "v30" in first
    assert "Page 1 Older" in first
    second = text_of(client.get("/templates/acme/web/versions?page=2"))
    assert web.active_version.name in second
    assert "Newer Page 2" in second
