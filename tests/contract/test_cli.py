"""The commands of Coder's command line against a live server."""

import re
from collections.abc import Iterator
from functools import partial

import pytest

from tests.contract import golang as go
from tests.contract.command_line import CommandFailedError, CommandLine
from tests.contract.sources import ARCHIVE, ASKING, PASSWORD
from tests.vocabulary import echo, tar_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def cli(deployment) -> Iterator[CommandLine]:
    line = CommandLine(deployment.url, deployment.token)
    yield line
    line.close()


def test_login_and_logout(cli):
    assert cli.login_with_token(cli.token) == "ada"
    cli.login_with_password(email="ada@example.test", password=PASSWORD)
    assert cli.login_with_token(cli.token) == "ada"
    cli.logout()
    rejected = cli.go.send("GET", "/users/me")
    assert rejected.status_code == 401
    assert go.decode(go.Response, rejected.content)["message"]
    cli.use("")  # sent as an empty header
    assert cli.go.send("GET", "/users/me").status_code == 401


def test_templates_are_created_pushed_pulled_and_deleted(cli):
    created = cli.templates_create("life", ARCHIVE)
    assert created["default_ttl_ms"] == 86_400_000
    assert created["allow_user_cancel_workspace_jobs"]
    with pytest.raises(CommandFailedError, match="already exists"):
        cli.templates_create("life", ARCHIVE)
    listed = next(row for row in cli.templates_list() if row["name"] == "life")
    assert {"start", "stop", "delete"} == set(listed["build_time_stats"])
    changed = ARCHIVE + bytes(1024)
    pushed = cli.templates_push("life", changed, version_name="second")
    assert pushed["name"] == "second"
    (first, *_), second = cli.templates_versions_list("life")
    assert second == ("second", "ada", "succeeded", True)
    assert re.fullmatch(r"[a-z]+_[a-z]+\d", first)
    assert cli.templates_pull("life") == changed
    cli.templates_delete("life")
    assert "life" not in {row["name"] for row in cli.templates_list()}


def test_editing_clears_fields_that_are_not_sent(cli):
    cli.templates_create("edited", ARCHIVE)
    edit = partial(cli.templates_edit, "edited")
    first = edit(description="words", icon="/icon/x.svg", display_name="Edited", allow_user_cancel_workspace_jobs=True)
    assert first["display_name"] == "Edited"
    assert first["allow_user_cancel_workspace_jobs"]
    assert first["default_ttl_ms"] == 0
    second = edit(default_ttl_ms=3_600_000)
    assert (second["name"], second["description"]) == ("edited", "words")
    assert (second["display_name"], second["icon"], second["default_ttl_ms"]) == ("", "", 3_600_000)
    assert not second["allow_user_cancel_workspace_jobs"]
    assert edit(default_ttl_ms=3_600_000)["default_ttl_ms"] == 3_600_000  # unchanged, but not a 304


def test_a_missing_parameter_is_requested_and_reused(cli):
    with pytest.raises(CommandFailedError, match="No answer for the variable zone"):
        cli.templates_create("asking", ASKING)
    cli.answers = {"zone": "b"}
    template = cli.templates_create("asking", ASKING)
    values = cli.go.call(
        "GET", f"/templateversions/{template['active_version_id']}/parameters", 200, go.slice_(go.ComputedParameter)
    )
    assert {value["name"]: value["source_value"] for value in values} == {"zone": "b", "known": "x"}
    cli.answers = {}
    pushed = cli.templates_push("asking", ASKING)
    assert [row["name"] for row in cli.parameters_list("import_job", pushed["id"])] == ["zone"]
    assert cli.parameters_list("template", "asking") == []


def test_a_failed_import_is_reported_with_its_reason(cli):
    with pytest.raises(CommandFailedError, match="scripted failure"):
        cli.templates_create("failing", tar_of(echo({"error": "scripted failure"})))


def test_an_interrupted_import_is_canceled(cli):
    organization = cli.organization()
    body = {
        "template_id": "00000000-0000-0000-0000-000000000000",
        "storage_method": "file",
        "file_id": cli.upload(tar_of(echo({"sleep": 30}))),
        "provisioner": "echo",
        "tags": {},
    }
    created = cli.go.call("POST", f"/organizations/{organization}/templateversions", 201, go.TemplateVersion, body)
    path = f"/templateversions/{created['id']}"
    with cli.go.follow(f"{path}/logs") as socket:
        cli.read_line(socket.recv(timeout=10))
        assert cli.go.call("PATCH", f"{path}/cancel", 200, go.Response)["message"]
        for message in socket:
            cli.read_line(message)
    assert cli.go.call("GET", path, 200, go.TemplateVersion)["job"]["status"] == "canceled"
    again = cli.go.send("PATCH", f"{path}/cancel")
    assert again.status_code == 400
    assert go.decode(go.Response, again.content)["message"]


def test_a_dry_run_returns_the_resources_of_a_workspace(cli):
    template = cli.templates_create("tried", ARCHIVE)
    path = f"/templateversions/{template['active_version_id']}"
    cli.go.call("GET", f"{path}/rich-parameters", 200, go.slice_(go.TemplateVersionParameter))
    body = {"workspace_name": "ws1", "parameter_values": [], "rich_parameter_values": []}
    job = cli.go.call("POST", f"{path}/dry-run", 201, go.ProvisionerJob, body)
    ended = cli.wait(f"{path}/dry-run/{job['id']}", go.ProvisionerJob)
    assert ended["status"] == "succeeded"
    resources = cli.go.call("GET", f"{path}/dry-run/{job['id']}/resources", 200, go.slice_(go.WorkspaceResource))
    assert [row["name"] for row in resources] == ["box"]


def test_users_are_created_shown_suspended_and_activated(cli):
    created = cli.users_create(username="bob", email="bob@example.test", password=PASSWORD)
    assert created["organization_ids"]
    assert "bob" in {user["username"] for user in cli.users_list()}
    user, organizations = cli.users_show("bob")
    assert (user["email"], organizations) == ("bob@example.test", ["acme"])
    assert cli.users_status("bob", "suspend") == "suspended"
    assert cli.users_status("bob", "activate") == "active"
    assert cli.users_status(user["id"], "suspend") == "suspended"


def test_groups_are_created_edited_and_deleted(cli):
    cli.users_create(username="grace", email="grace@example.test", password=PASSWORD)
    created = cli.groups_create("operators")
    assert (created["name"], created["members"], created["quota_allowance"]) == ("operators", [], 0)
    assert "operators" in {group["name"] for group in cli.groups_list()}
    edited = cli.groups_edit("operators", add=["grace@example.test"])
    assert [user["username"] for user in edited["members"]] == ["grace"]
    assert edited["name"] == "operators"
    assert cli.groups_edit("operators", remove=["grace@example.test"])["members"] == []
    cli.groups_delete("operators")
    assert "operators" not in {group["name"] for group in cli.groups_list()}


def test_tokens_are_created_used_and_removed(cli, deployment):
    token = cli.tokens_create(lifetime_seconds=365 * 24 * 3600)
    assert re.fullmatch(r"[A-Za-z0-9]{10}-[A-Za-z0-9]{22}", token)
    key_id = token.partition("-")[0]
    listed = next(row for row in cli.tokens_list() if row["id"] == key_id)
    assert listed["lifetime_seconds"] == 365 * 24 * 3600
    assert (listed["scope"], listed["login_type"]) == ("all", "token")
    other = CommandLine(deployment.url, token)
    assert other.login_with_token(token) == "ada"
    cli.tokens_remove(key_id)
    assert other.go.send("GET", "/users/me").status_code == 401
    assert cli.go.send("DELETE", f"/users/me/keys/{key_id}").status_code == 404
    other.close()


def test_the_ssh_key_is_shown_and_reset(cli):
    """``publickey`` and ``publickey --reset``."""
    key = go.struct(user_id=go.uuid_, created_at=go.time, updated_at=go.time, public_key=go.string)
    cli.preamble()
    first = cli.go.call("GET", "/users/me/gitsshkey", 200, key)["public_key"]
    assert first.startswith("ssh-")
    assert cli.go.call("PUT", "/users/me/gitsshkey", 200, key)["public_key"] != first


def test_the_list_of_licenses_is_empty(cli):
    assert cli.go.call("GET", "/licenses", 200, go.slice_(go.struct(id=go.int32))) == []
