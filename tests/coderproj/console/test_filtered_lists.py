"""Lists with filters: what htmx puts into the history, and where their pages are opened."""

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
def test_an_address_that_is_shown_already_is_not_put_into_the_history_again(owner, address, target, shown, pushed):
    headers = {"HX-Request": "true", "HX-Target": target, "HX-Current-URL": f"{ORIGIN}{shown}"}
    answer = browser(owner).get(address, headers=headers)
    assert answer.status_code == 200
    assert answer.get("HX-Push-Url") == (None if pushed else "false")


@pytest.mark.parametrize("shown", ["", "http://elsewhere.test/audit?action=create"])
def test_an_address_that_is_not_ours_is_none_that_is_shown(owner, shown):
    headers = {"HX-Request": "true"} | ({"HX-Current-URL": shown} if shown else {})
    assert "HX-Push-Url" not in browser(owner).get("/audit?action=create", headers=headers)


def test_a_whole_page_says_nothing_of_the_history(owner):
    for headers in ({}, {"HX-Request": "true", "HX-History-Restore-Request": "true"}):
        answer = browser(owner).get("/audit", headers={"HX-Current-URL": f"{ORIGIN}/audit", **headers})
        assert "HX-Push-Url" not in answer


@pytest.mark.parametrize("path", ["/audit", "/jobs"])
def test_filters_are_not_completed_by_the_browser(owner, path):
    page = browser(owner).get(path).content.decode()
    form = page.partition('<form class="toolbar filters"')[2].partition(">")[0]
    assert 'autocomplete="off"' in form
    assert f'hx-get="{path}"' in form


def test_neighbours_are_opened_at_a_fragment():
    for name in "abc":
        make_user(name)
    request = RequestFactory().get("/jobs", {"page": "2", "status": "failed"})
    found = slice_of(request, User.objects.order_by("username"), 1, address="/jobs", fragment="ended")
    assert found.previous_url == "/jobs?page=1&status=failed#ended"
    assert found.next_url == "/jobs?page=3&status=failed#ended"
