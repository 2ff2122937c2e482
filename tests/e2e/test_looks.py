"""Every page in a browser: accessible in light, dark and on a phone, without errors in the browser's console.

These tests change nothing: all of them share one deployment and one tab.
"""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from coderproj.identity import groups, services
from coderproj.identity.actor import Actor
from coderproj.identity.groups import GroupChange
from coderproj.identity.models import User
from provisioning import keys
from provisioning.models import ProvisionerDaemon
from templates_app.models import AccessRole, TemplateAccess
from tests.cleanup import delete_all_rows
from tests.e2e.conftest import PHONE, WIDE, carry_session, violations, watched
from tests.e2e.scene import Scene, found, make_scene
from tests.e2e.scene_statistics import add_statistics
from tests.e2e.scene_workspaces import add_workspaces
from tests.factories import make_version
from tests.live import LiveApi
from tests.world import fast_settings

# The mark creates the test database, also when only these tests run.
pytestmark = [pytest.mark.e2e, pytest.mark.django_db]
TEMPLATE = "/templates/acme/docker"
PAGES = {
    "templates": "/templates",
    "no match": "/templates?q=nothing-like-it",
    "template": TEMPLATE,
    "versions": f"{TEMPLATE}/versions",
    "upload": f"{TEMPLATE}/versions/new",
    "promote": f"{TEMPLATE}/versions/frosty_kepler1/promote",
    "succeeded version": f"{TEMPLATE}/versions/quiet_lovelace3",
    "failed version": f"{TEMPLATE}/versions/wise_dijkstra4",
    "running version": f"{TEMPLATE}/versions/eager_turing4",
    "retry": f"{TEMPLATE}/versions/wise_dijkstra4/retry",
    "cancel": f"{TEMPLATE}/versions/eager_turing4/cancel",
    "new template": "/templates/new",
    "new template from a starter": "/templates/new?starter=docker",
    "starters": "/starters",
    "starter": "/starters/docker",
    "parameters": f"{TEMPLATE}/parameters",
    "resources": f"{TEMPLATE}/resources",
    "template insights": f"{TEMPLATE}/insights",
    "template insights of 90 days": f"{TEMPLATE}/insights?days=90",
    "permissions": f"{TEMPLATE}/permissions",
    "template audit": f"{TEMPLATE}/audit",
    "settings": f"{TEMPLATE}/settings",
    "changes": f"{TEMPLATE}/versions/quiet_lovelace3/changes",
    "changes of a first version": f"{TEMPLATE}/versions/frosty_kepler1/changes",
    "parameters of a version": f"{TEMPLATE}/versions/frosty_kepler1/parameters",
    "parameters of a failed version": f"{TEMPLATE}/versions/wise_dijkstra4/parameters",
    "resources of a version": f"{TEMPLATE}/versions/frosty_kepler1/resources",
    "resources of a failed version": f"{TEMPLATE}/versions/wise_dijkstra4/resources",
    "files": f"{TEMPLATE}/versions/quiet_lovelace3/files",
    "settings of a version": f"{TEMPLATE}/versions/frosty_kepler1/settings",
    "jobs": "/jobs",
    "finished jobs of one kind": "/jobs?type=template_version_dry_run&template=docker",
    "running jobs": "/jobs?list=running",
    "waiting jobs": "/jobs?list=waiting",
    "account": "/account",
    "command line": "/cli-auth",
    "users": "/users",
    "no such user": "/users?q=nobody-like-that",
    "new user": "/users/new",
    "groups": "/groups",
    "new group": "/groups/new",
    "organizations": "/organizations",
    "new organization": "/organizations/new",
    "tokens": "/tokens",
    "new token": "/tokens/new",
    "daemons": "/daemons",
    "daemon keys": "/daemons/keys",
    "new daemon key": "/daemons/keys/new",
    "insights of all": "/insights",
    "audit log": "/audit",
    "search": "/search?q=do",
    "home": "/home",
    "workspaces": "/workspaces?show=all",
    "no workspace": "/workspaces?q=nothing-like-it",
    "running workspace": "/@ada/dev",
    "starting workspace": "/@ada/api",
    "stopped workspace": "/@mira/site",
    "failed workspace": "/@priya/gpu-training",
    "stop a workspace": "/@ada/dev/stop",
    "start a workspace": "/@mira/site/start",
    "delete a workspace": "/@ada/dev/delete",
    "cancel a build": "/@ada/api/cancel",
    "update a workspace": "/@ada/dev/update",
    "change a workspace": "/@mira/site/update",
    "schedule of a workspace": "/@ada/dev/schedule",
    "rename a workspace": "/@ada/dev/rename",
    "push a state": "/@ada/dev/state",
    "push a state later": "/@ada/api/state",
    "build": "/@ada/dev/builds/1",
    "latest build": "/@ada/dev/builds/3",
    "starting build": "/@ada/api/builds/1",
    "failed build": "/@priya/gpu-training/builds/2",
    "new workspace": f"{TEMPLATE}/workspace",
    "workspaces of a template": f"{TEMPLATE}/workspaces",
    "nothing found": "/search?q=nothing-like-it",
}
# Pages of one object; the parts in braces come from the shared scene.
OBJECT_PAGES = {
    "job": "/jobs/{waiting}",
    "user": "/users/{member}",
    "suspended user": "/users/{suspended}",
    "group": "/groups/{group}",
    "everyone": "/groups/{organization}",
    "one organization": "/organizations/{organization}",
    "settings of an organization": "/organizations/{organization}/settings",
    "daemon": "/daemons/{daemon}",
    "version to be named": "/versions/{unattached}",
    "deleted workspace": "/workspaces/{old_workspace}",
    "build of a deleted workspace": "/workspaces/{old_workspace}/builds/2",
    "admin": "/admin/",
    "admin list": "/admin/provisioning/provisionerjob/",
    "admin change": "/admin/identity/organization/{organization}/change/",
    "admin delete": "/admin/identity/organization/{organization}/delete/",
    "admin history": "/admin/identity/organization/{organization}/history/",
}
# Texts that show that the page is in the intended state.
SAYS = {
    "job": "No online daemon has gpu=a100",
    "tokens": "laptop",
    "daemon keys": "builder-1",
    "version to be named": "Make it a template",
    "running workspace": "is the active version of",
    "starting workspace": "Live",
    "failed workspace": "no space left on device",
    "deleted workspace": "This workspace was deleted",
    "update a workspace": "What changes",
    "delete a workspace": "Leave the resources behind",
    "push a state": "It replaces the present state",
    "push a state later": "A build of the workspace is active.",
    "build": "Terraform state",
    "latest build": "Push a state",
}


@pytest.fixture(scope="module")
def shared(django_db_setup, django_db_blocker, _running_server: LiveApi) -> Iterator[tuple[Scene, dict[str, str]]]:
    """The scene of the module with tokens, keys and groups, and the values for the parts of addresses."""
    with django_db_blocker.unblock(), fast_settings():
        try:
            scene = make_scene()
            yield scene, add_one_of_each(scene)
            _running_server.wait_for_streams(0)
        finally:
            delete_all_rows()


def add_one_of_each(scene: Scene) -> dict[str, str]:
    """Create tokens, keys and groups; return the values for the braces in ``OBJECT_PAGES``."""
    owner = Actor.of(scene.owner)
    group = groups.create_group(owner, scene.organization, name="data-science", quota_allowance=40)
    groups.update_group(owner, group, GroupChange(add_users=[str(scene.member.pk)]))
    TemplateAccess.objects.create(template=scene.docker, group=group, role=AccessRole.USE)
    for user in (scene.owner, scene.member):
        services.create_token(owner, user=user, lifetime_seconds=86_400, name="laptop")
    keys.create(owner, scene.organization, name="builder-1", tags={"gpu": "a100"})
    User.objects.filter(username="omar").update(status="suspended")
    workspaces = add_workspaces(scene)
    add_statistics()
    return {
        "waiting": str(scene.waiting.pk),
        "old_workspace": str(workspaces.old.pk),
        "unattached": str(make_version(user=scene.owner, organization=scene.organization, result=found()).pk),
        "member": str(scene.member.pk),
        "suspended": str(User.objects.get(username="omar").pk),
        "group": str(group.pk),
        "organization": str(scene.organization.pk),
        "daemon": str(ProvisionerDaemon.objects.get(name="builtin-0").pk),
    }


@pytest.fixture(scope="module")
def tab(browser: Browser, shared, _running_server: LiveApi) -> Iterator[tuple[BrowserContext, Page, list[str]]]:
    """The tab of the owner, and its console errors."""
    context = browser.new_context(viewport=WIDE, base_url=_running_server.url)
    carry_session(context, _running_server.url, shared[0].owner)
    problems: list[str] = []
    yield context, watched(context, problems), problems
    context.close()


@pytest.fixture
def look(tab, looks_right) -> Iterator[Callable[..., None]]:
    """Open an address in the tab and check the page."""
    _, page, problems = tab

    def check(path: str, *, says: str | None = None) -> None:
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        if says:
            expect(page.get_by_role("main").get_by_text(says).first).to_be_visible()
        looks_right(page)

    problems.clear()
    yield check
    page.goto("about:blank")  # ends the streams
    assert problems == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible(name, look):
    look(PAGES[name], says=SAYS.get(name))


@pytest.mark.parametrize("name", OBJECT_PAGES)
def test_a_page_of_one_object_is_accessible(name, look, shared):
    look(OBJECT_PAGES[name].format_map(shared[1]), says=SAYS.get(name))


def test_the_login_page_is_accessible(look, tab):
    context = tab[0]
    cookies = context.cookies()
    context.clear_cookies()
    try:
        look("/login", says="Password")
    finally:  # the next tests need the session
        context.clear_cookies()
        context.add_cookies(cookies)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_menu_on_phones_is_accessible(tab, scheme):
    _, page, problems = tab
    problems.clear()
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(PHONE)
    try:
        page.goto(TEMPLATE)
        page.locator("details.menu > summary").click()
        expect(page.get_by_role("navigation", name="Main").get_by_role("link", name="Daemons")).to_be_visible()
        assert violations(page) == []
        assert problems == []
    finally:
        page.set_viewport_size(WIDE)
        page.emulate_media(color_scheme="light")
