"""Pages of many workspaces and builds run as many statements as those of a few."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.pages import browser
from tests.templates_app.workspaces.rows import add_build, add_many_builds, make_many, make_workspace

pytestmark = pytest.mark.django_db


def statements(client, address: str, rows: int) -> int:
    """Return the number of statements of a page, whose first list must have this number of rows."""
    client.get(address)
    with CaptureQueriesContext(connection) as captured:
        response = client.get(address)
    assert response.status_code == 200
    assert response.content.decode().partition("<tbody>")[2].partition("</tbody>")[0].count("<tr>") == rows
    return len(captured.captured_queries)


def test_lists_of_1000_workspaces(ada, owner, template):
    """Each page of a list shows 50 rows, the start page 20."""
    pages = {
        (ada, "/workspaces"): 50,
        (ada, "/workspaces?page=20"): 50,
        (ada, "/home"): 20,
        (owner, "/workspaces?show=all"): 50,
        (owner, "/workspaces?show=running"): 50,
        (owner, "/workspaces?show=all&q=owner:ada+many"): 50,
        (owner, "/templates/acme/web/workspaces"): 50,
        (owner, "/templates/acme/web/workspaces?page=20"): 50,
    }
    clients = {user: browser(user) for user, _ in pages}
    make_many(ada, template, 1)
    few = {(user, url): statements(clients[user], url.partition("?page")[0], 1) for user, url in pages}
    make_many(ada, template, 999)
    many = {(user, url): statements(clients[user], url, rows) for (user, url), rows in pages.items()}
    assert many == few


def test_pages_of_a_workspace_with_200_builds(ada, owner, template):
    workspace = make_workspace(owner, template, "dev", builds=12)
    client = browser(owner)
    last = {12: "/@owner/dev?page=2", 212: "/@owner/dev?page=22"}
    pages = ("/@owner/dev/builds/7", "/@owner/dev/delete", "/@owner/dev/update", "/@owner/dev/state")

    def measure(builds: int) -> dict[str, int]:
        counts = {"first": statements(client, "/@owner/dev", 10), "last": statements(client, last[builds], 2)}
        return counts | {page: statements(client, page, 0) for page in pages}

    few = measure(12)
    add_many_builds(workspace, owner, 199)
    add_build(workspace, owner, 212)  # with resources, as before
    assert measure(212) == few


def test_page_and_list_of_a_workspace_with_30_agents(ada, template):
    """The page shows all of them, so it needs no statement that counts them."""
    client = browser(ada)

    def measure(name: str, agents: int) -> tuple[int, int]:
        make_workspace(ada, template, name, parts=agents)
        count = statements(client, f"/@ada/{name}", 1)
        assert client.get(f"/@ada/{name}").content.decode().count('id="agent-') == agents + 1  # and the states
        return count, statements(client, f"/workspaces?q={name}", 1)

    assert measure("few", 1) == measure("many", 30)
