"""Renaming a workspace."""

import pytest

from coderproj.identity.models import AuditLog
from templates_app.workspaces.models import Workspace
from tests.factories import make_user
from tests.pages import browser, text_of
from tests.templates_app.workspaces.pages.conftest import build, create, finish_build

pytestmark = pytest.mark.django_db
PAGE = "/@ada/dev"


def rename(user, name: str, *, page: str = PAGE):
    return browser(user).post(f"{page}/rename", {"name": name})


def test_workspace_is_renamed_and_its_pages_move(ada, running):
    client = browser(ada)
    assert f'href="{PAGE}/rename"' in client.get(PAGE).content.decode()
    page = client.get(f"{PAGE}/rename")
    assert 'name="name" value="dev"' in page.content.decode()
    for part in ("Links to /@ada/dev stop working", "The next build gets the new name", "Nothing is built"):
        assert part in text_of(page)
    response = client.post(f"{PAGE}/rename", {"name": "shop"}, follow=True)
    assert response.redirect_chain == [("/@ada/shop", 302)]
    assert "The workspace is now named shop." in text_of(response)
    assert client.get(PAGE).status_code == 404
    running.refresh_from_db()
    assert (running.name, running.builds.count()) == ("shop", 1)


def test_letters_of_the_own_name_can_change_their_case(ada, running):
    assert rename(ada, "Dev")["Location"] == "/@ada/Dev"
    assert rename(ada, "Dev")["Location"] == "/@ada/Dev"  # no change
    assert Workspace.objects.get().name == "Dev"


@pytest.mark.parametrize("name", ["shop", "SHOP"])
def test_taken_name_is_named_at_its_field(ada, running, template, name):
    create(ada, template, "shop")
    response = rename(ada, name)
    assert response.status_code == 409
    page = response.content.decode()
    error = page.partition('id="id_name_error"')[2].partition("</p>")[0]
    assert "The owner already has a workspace with this name." in error
    assert f'name="name" value="{name}"' in page
    assert "<h1>Rename dev</h1>" in page
    assert f'action="{PAGE}/rename"' in page
    assert AuditLog.objects.filter(status_code=409, resource_target="dev").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "This field is required."),
        ("two words", "Must be 1 to 32 letters and digits"),
        ("a--b", "Must be 1 to 32 letters and digits"),
        ("-a", "Must be 1 to 32 letters and digits"),
        ("ü", "Must be 1 to 32 letters and digits"),
        ("x" * 33, "at most 32 characters (it has 33)"),
    ],
)
def test_wrong_names_are_refused_and_kept(ada, running, name, says):
    response = rename(ada, name)
    assert response.status_code == 400
    assert says in text_of(response)
    assert not name or f'name="name" value="{name}"' in response.content.decode()
    assert Workspace.objects.get().name == "dev"


def test_browsers_do_not_cut_names(ada, running):
    """A name of more characters than ``maxlength`` would be cut while it is pasted, and saved."""
    assert "maxlength" not in browser(ada).get(f"{PAGE}/rename").content.decode().partition("<main")[2]


def test_names_of_other_owners_and_of_deleted_workspaces_are_free(ada, organization, running, template):
    bob = make_user("bob", organizations=(organization,))
    create(bob, template, "shop")
    finish_build()
    old = create(ada, template, "old")
    finish_build()
    build(ada, old, "delete")
    finish_build(resources=())
    assert rename(ada, "shop")["Location"] == "/@ada/shop"
    assert rename(ada, "old", page="/@ada/shop")["Location"] == "/@ada/old"


def test_only_those_who_may_change_the_workspace_rename_it(ada, organization, running):
    reader = make_user("tom", organizations=(organization,), site_roles=("template-admin",))
    assert f"{PAGE}/rename" not in browser(reader).get(PAGE).content.decode()
    assert browser(reader).get(f"{PAGE}/rename").status_code == 403
    assert rename(reader, "mine").status_code == 403
    build(ada, running, "delete")
    finish_build(resources=())
    assert f"{PAGE}/rename" not in browser(ada).get(PAGE).content.decode()
    assert rename(ada, "again").status_code == 410
