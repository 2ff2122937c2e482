"""Lists with filters: entries in the history, and the anchors of their pages."""

import pytest
from django.test import RequestFactory

from coderproj.console.paging import slice_of
from coderproj.identity.models import User
from tests.factories import make_user
from tests.pages import browser

pytestmark = pytest.mark.django_db
ORIGIN = "http://testserver"


@pytest.mark.parametrize(
    ("address", "target", "shown", "pushed"),
    [
        ("/audit?action=create", "list", "/audit", True),
        ("/audit?action=create", "list", "/audit?action=create", False),
        ("/audit?q=&action=create&username=", "list", "/audit?action=create#list", False),
        ("/audit?q=&action=", "list", "/audit", False),
        ("/audit?action=create", "list", "/jobs?action=create", True),
        ("/jobs?template=web&status=", "finished", "/jobs", True),
        ("/jobs?template=web&status=", "finished", "/jobs?status=&template=web#finished-heading", False),
        ("/jobs?template=", "finished", "/jobs?template=web", True),
        ("/users?q=mira", "list", "/users?q=mira", False),
    ],
)
def test_current_address_is_not_added_to_the_history(owner, address, target, shown, pushed):
    headers = {"HX-Request": "true", "HX-Target": target, "HX-Current-URL": f"{ORIGIN}{shown}"}
    answer = browser(owner).get(address, headers=headers)
    assert answer.status_code == 200
    assert answer.get("HX-Push-Url") == (None if pushed else "false")


@pytest.mark.parametrize("shown", ["", "http://elsewhere.test/audit?action=create"])
def test_address_of_another_site_is_not_the_current_one(owner, shown):
    headers = {"HX-Request": "true"} | ({"HX-Current-URL": shown} if shown else {})
    assert "HX-Push-Url" not in browser(owner).get("/audit?action=create", headers=headers)


def test_full_page_does_not_change_the_history(owner):
    for headers in ({}, {"HX-Request": "true", "HX-History-Restore-Request": "true"}):
        answer = browser(owner).get("/audit", headers={"HX-Current-URL": f"{ORIGIN}/audit", **headers})
        assert "HX-Push-Url" not in answer


@pytest.mark.parametrize("path", ["/audit", "/jobs"])
def test_filters_disable_autocomplete(owner, path):
    page = browser(owner).get(path).content.decode()
    form = page.partition('<form class="toolbar filters"')[2].partition(">")[0]
    assert 'autocomplete="off"' in form
    assert f'hx-get="{path}"' in form


def test_links_to_other_pages_keep_the_fragment():
    for name in "abc":
        make_user(name)
    request = RequestFactory().get("/jobs", {"page": "2", "status": "failed"})
    found = slice_of(request, User.objects.order_by("username"), 1, address="/jobs", fragment="ended")
    assert found.previous_url == "/jobs?page=1&status=failed#ended"
    assert found.next_url == "/jobs?page=3&status=failed#ended"
