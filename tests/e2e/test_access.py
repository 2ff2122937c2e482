"""The main actions on users, groups, keys and daemons in a browser."""

import re

import pytest
from playwright.sync_api import expect

from coderproj.identity import groups, services
from coderproj.identity.actor import Actor
from coderproj.identity.groups import GroupChange
from coderproj.identity.models import ApiKey, Group, LoginType, User
from provisioning.models import ProvisionerKey
from templates_app.models import AccessRole, TemplateAccess

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
PASSWORD = "correct horse battery"


@pytest.fixture
def owner(scene) -> Actor:
    return Actor.of(scene.owner)


@pytest.fixture
def group(scene, owner) -> Group:
    """A group with a member and access to a template."""
    made = groups.create_group(owner, scene.organization, name="data-science", quota_allowance=40)
    groups.update_group(owner, made, GroupChange(add_users=[str(scene.member.pk)]))
    TemplateAccess.objects.create(template=scene.docker, group=made, role=AccessRole.USE)
    return made


# ---------------------------------------------------------------------- accessibility
def test_lists_without_rows_are_accessible(page, scene, sign_in, looks_right):
    sign_in(scene.owner)
    for path, says in (("/tokens", "Create your first token"), ("/daemons/keys", "Create the first key")):
        page.goto(path)
        expect(page.get_by_role("main").get_by_text(says).first).to_be_visible()
        looks_right(page)


# ---------------------------------------------------------------------- tokens
def test_token_is_created_shown_once_and_revoked(page, scene, sign_in, looks_right):
    sign_in(scene.member)
    page.goto("/tokens")
    page.get_by_role("link", name="Create your first token").click()
    page.get_by_role("button", name="Create the token").click()
    expect(page.get_by_text("This field is required.")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("pipeline")
    page.get_by_label("Expires after").select_option(label="7 days")
    page.get_by_role("button", name="Create the token").click()
    expect(page.get_by_role("heading", name="pipeline is ready")).to_be_visible()
    token = page.locator("#token").inner_text()
    looks_right(page)
    assert services.tokens.parse_token(token)
    page.get_by_role("link", name="I have copied it").click()
    expect(page.get_by_text("in 6d")).to_be_visible()
    assert token not in page.content()
    page.get_by_role("link", name="Revoke pipeline").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("It was never used.")
    dialog.get_by_role("button", name="Revoke pipeline").click()
    expect(page.get_by_text("pipeline is revoked.")).to_be_visible()
    assert not ApiKey.objects.filter(login_type=LoginType.TOKEN).exists()


# ---------------------------------------------------------------------- users and groups
def test_user_is_created_suspended_and_activated(page, scene, sign_in, problems):
    sign_in(scene.owner)
    page.goto("/users")
    page.get_by_role("link", name="New user").click()
    page.get_by_label("Username").fill("nora")
    page.get_by_label("Email").fill("nora@example.test")
    page.get_by_label("Password").fill("short")
    page.get_by_role("button", name="Create the user").click()
    expect(page.get_by_text("This password is too short.")).to_be_visible()
    assert [text for text in problems if "400" not in text] == []
    problems.clear()  # a browser reports the status itself
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create the user").click()
    expect(page.get_by_role("heading", name="nora", level=1)).to_be_visible()
    page.get_by_label("Template Admin: ").check()
    page.get_by_role("button", name="Save the roles").click()
    expect(page.get_by_text("Site roles of nora: Template Admin.")).to_be_visible()
    page.get_by_role("link", name="Suspend").click()
    page.get_by_role("dialog").get_by_role("button", name="Suspend nora").click()
    expect(page.get_by_text("nora is suspended and signed out everywhere.")).to_be_visible()
    page.get_by_role("button", name="Activate nora").click()
    expect(page.get_by_text("nora can sign in again.")).to_be_visible()
    page.get_by_role("link", name="Delete nora").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete nora").click()
    expect(page.get_by_text("nora is deleted.")).to_be_visible()
    assert User.objects.get(username="nora").deleted


def test_users_are_searched_while_typing(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto("/users")
    page.get_by_label("Search users").fill("mir")
    expect(page.locator("#list tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile("q=mir"))


def test_a_group_gets_members(page, scene, sign_in):
    sign_in(scene.owner)
    page.goto("/groups")
    page.get_by_role("link", name="New group").click()
    page.get_by_label("Name", exact=True).fill("night-shift")
    page.get_by_role("button", name="Create the group").click()
    expect(page.get_by_text("add the first one below")).to_be_visible()
    page.get_by_label("Add a member").fill("mira")
    page.get_by_role("button", name="Add the member").click()
    expect(page.get_by_text("mira is now a member of night-shift.")).to_be_visible()
    page.get_by_role("link", name="Remove mira from the group").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove mira").click()
    expect(page.get_by_text("mira is no longer a member of night-shift.")).to_be_visible()
    page.get_by_role("link", name="Delete the group").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete night-shift").click()
    expect(page.get_by_text("night-shift is deleted.")).to_be_visible()


# ---------------------------------------------------------------------- provisioner keys
def test_daemon_key_is_created_and_revoked(page, scene, sign_in, looks_right):
    sign_in(scene.owner)
    page.goto("/daemons")
    page.get_by_role("link", name="New key").click()
    page.get_by_label("Name", exact=True).fill("builder-1")
    page.get_by_label("Tags").fill("gpu: a100")
    page.get_by_role("button", name="Create the key").click()
    expect(page.get_by_text("'gpu: a100' is not key=value.")).to_be_visible()
    page.get_by_label("Tags").fill("gpu=a100")
    page.get_by_role("button", name="Create the key").click()
    expect(page.locator("#key")).to_contain_text("pdk-")
    looks_right(page)
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("link", name="Revoke builder-1").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke builder-1").click()
    expect(page.get_by_text("builder-1 is revoked.")).to_be_visible()
    assert ProvisionerKey.objects.get().revoked_at


# ---------------------------------------------------------------------- search and audit log
def test_slash_focuses_the_global_search(page, scene, sign_in):
    sign_in(scene.member)
    page.goto("/templates")
    page.keyboard.press("/")
    page.keyboard.type("docker")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Templates", level=2)).to_be_visible()
    page.get_by_role("link", name="Docker containers").click()
    expect(page.get_by_role("heading", name="Docker containers", level=1)).to_be_visible()


def test_the_audit_log_is_filtered(page, scene, owner, group, sign_in):
    sign_in(scene.owner)
    page.goto("/audit")
    expect(page.get_by_text("data-science").first).to_be_visible()
    page.get_by_label("Action").select_option("delete")
    expect(page.get_by_text("No matching events.")).to_be_visible()
    expect(page).to_have_url(re.compile("action=delete"))


def test_the_search_works_without_script(browser, live_api, scene):
    context = browser.new_context(java_script_enabled=False, base_url=live_api.url)
    try:
        page = context.new_page()
        page.goto("/search?q=mira")
        page.get_by_label("Email").fill(scene.owner.email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Users", level=2)).to_be_visible()
        page.get_by_role("search", name="Everything").get_by_role("searchbox").fill("kubernetes")
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name="Kubernetes pods")).to_be_visible()
    finally:
        context.close()
