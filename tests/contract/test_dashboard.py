"""The calls of Coder's dashboard with a browser's headers. Fields that its code reads without a check must exist."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contract.clients import TOKEN_COOKIE, Wire
from tests.contract.document import TIME
from tests.contract.sources import ARCHIVE, ASKING, PASSWORD

pytestmark = pytest.mark.django_db

RUNNING = {"pending", "running"}


class Dashboard:
    """One browser tab. Like in axios, each 2xx is a success; ``status`` requires an exact one."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url
        self.token = token
        self.wire = Wire(
            url,
            {
                "Accept": "application/json, text/plain, */*",
                "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
                "X-CSRF-TOKEN": "JXm9hOUdZctWt0ZZGAy9xiS/gxMKYOThdxjjMnMUyn4=",
                "Sec-Fetch-Site": "same-origin",
                "Sec-Fetch-Mode": "cors",
            },
        )

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        headers = dict(options.pop("headers", {}))
        if method != "GET":
            headers["Origin"] = self.url
        if self.token:
            headers["Cookie"] = f"{TOKEN_COOKIE}={self.token}"
        return self.wire.send(method, f"/api/v2{path}", json=body, headers=headers, **options)

    def call(self, method: str, path: str, body: Any = None, *, status: int = 0, **options: Any) -> Any:
        response = self.send(method, path, body, **options)
        if status:
            assert response.status_code == status, response.text
        else:
            assert response.is_success, response.text
        return response.json() if response.content else None

    def get(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, **options)

    def problem(self, method: str, path: str, body: Any = None) -> tuple[int, list[str]]:
        """Return the status of an error that the dashboard recognises, and the form fields that it marks."""
        response = self.send(method, path, body)
        error = response.json()
        assert isinstance(error["message"], str)
        assert error["message"]
        return response.status_code, [item["field"] for item in error.get("validations", ())]


@pytest.fixture
def dashboard(deployment) -> Iterator[Dashboard]:
    tab = Dashboard(deployment.url, deployment.token)
    yield tab
    tab.wire.close()


@pytest.fixture
def organization(dashboard) -> str:
    return dashboard.get("/users/me")["organization_ids"][0]


# ---------------------------------------------------------------------- the frame of every page
def test_sign_in_and_sign_out(deployment):
    tab = Dashboard(deployment.url)
    assert tab.send("GET", "/users/me").status_code == 401
    assert tab.get("/users/first", status=200)["message"]
    methods = tab.get("/users/authmethods")
    assert {name: methods[name] for name in ("password", "github", "oidc")} == {
        "password": True,
        "github": False,
        "oidc": False,
    }
    assert tab.problem("POST", "/users/login", {"email": "ada@example.test", "password": "wrong"})[0] == 401
    response = tab.send("POST", "/users/login", {"email": "ada@example.test", "password": PASSWORD})
    assert response.status_code == 201
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith(f"{TOKEN_COOKIE}=")
    assert {"Path=/", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
    tab.token = response.json()["session_token"]
    assert tab.get("/users/me")["organization_ids"][0]
    assert isinstance(tab.get("/applications/host")["host"], str)
    tab.call("POST", "/users/logout")
    assert tab.send("GET", "/users/me").status_code == 401
    tab.wire.close()


def test_the_frames_first_calls_have_the_required_fields(dashboard):
    info = dashboard.get("/buildinfo")
    assert info["version"].startswith("v0.15")
    assert info["external_url"].startswith("https://")
    entitlements = dashboard.get("/entitlements")
    assert entitlements["warnings"] == entitlements["errors"] == []
    for feature in ("user_limit", "audit_log", "template_rbac", "appearance", "high_availability"):
        assert entitlements["features"][feature]["entitlement"] in {"entitled", "grace_period", "not_entitled"}
        assert isinstance(entitlements["features"][feature]["enabled"], bool)
    assert entitlements["has_license"]  # otherwise the dashboard hides groups and access lists
    appearance = dashboard.get("/appearance")
    assert isinstance(appearance["service_banner"]["enabled"], bool)
    assert appearance["logo_url"] == ""
    assert dashboard.get("/experiments") == []
    assert dashboard.get("/updatecheck")["current"] is True


def test_authcheck_answers_every_check_of_the_frame(dashboard):
    checks = {
        "readAllUsers": {"object": {"resource_type": "user"}, "action": "read"},
        "updateUsers": {"object": {"resource_type": "user"}, "action": "update"},
        "createUser": {"object": {"resource_type": "user"}, "action": "create"},
        "createTemplates": {"object": {"resource_type": "template"}, "action": "update"},
        "deleteTemplates": {"object": {"resource_type": "template"}, "action": "delete"},
        "viewAuditLog": {"object": {"resource_type": "audit_log"}, "action": "read"},
        "viewDeploymentConfig": {"object": {"resource_type": "deployment_flags"}, "action": "read"},
        "createGroup": {"object": {"resource_type": "group"}, "action": "create"},
        "viewUpdateCheck": {"object": {"resource_type": "update_check"}, "action": "read"},
    }
    answer = dashboard.call("POST", "/authcheck", {"checks": checks}, status=200)
    assert set(answer) == set(checks)
    assert all(isinstance(value, bool) for value in answer.values())
    assert answer["createGroup"]
    assert answer["viewAuditLog"]


def test_a_key_for_the_command_line_is_created(dashboard):
    assert "-" in dashboard.call("POST", "/users/me/keys", status=201)["key"]


# ---------------------------------------------------------------------- templates
def upload(tab: Dashboard, archive: bytes) -> str:
    response = tab.send("POST", "/files", content=archive, headers={"Content-Type": "application/x-tar"})
    assert response.is_success
    return response.json()["hash"]


def create_version(tab: Dashboard, organization: str, **body: Any) -> dict[str, Any]:
    """Like the form: post, then poll until the job has ended."""
    given = {"storage_method": "file", "provisioner": "echo", "tags": {}, **body}
    version = tab.call("POST", f"/organizations/{organization}/templateversions", given, status=201)
    deadline = time.monotonic() + 20
    while version["job"]["status"] in RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        version = tab.get(f"/templateversions/{version['id']}")
    return version


def create_template(tab: Dashboard, organization: str, name: str) -> dict[str, Any]:
    version = create_version(tab, organization, file_id=upload(tab, ARCHIVE))
    body = {
        "name": name,
        "display_name": "",
        "description": "",
        "icon": "",
        "default_ttl_ms": 86_400_000,
        "allow_user_cancel_workspace_jobs": False,
        "template_version_id": version["id"],
    }
    return tab.call("POST", f"/organizations/{organization}/templates", body)


def read_template(template: dict[str, Any]) -> None:
    """Check the fields of a template that the pages read without a check."""
    stats = template["build_time_stats"]
    for transition in ("start", "stop", "delete"):
        for percentile in ("P50", "P95"):
            assert stats[transition][percentile] is None or stats[transition][percentile] >= 0
    assert TIME.fullmatch(template["updated_at"])
    assert isinstance(template["active_user_count"], int)
    assert isinstance(template["workspace_owner_count"], int)
    for text in ("display_name", "name", "icon", "description", "created_by_name"):
        assert isinstance(template[text], str)


def test_the_pages_of_a_template_have_the_required_fields(dashboard, organization):
    created = create_template(dashboard, organization, "paged")
    read_template(created)
    assert not created["allow_user_cancel_workspace_jobs"]
    for template in dashboard.get(f"/organizations/{organization}/templates"):
        read_template(template)
    template = dashboard.get(f"/organizations/{organization}/templates/paged")
    read_template(template)
    version = dashboard.get(f"/templateversions/{template['active_version_id']}")
    assert isinstance(version["readme"], str)
    assert version["created_by"]["username"]
    assert version["job"]["file_id"]
    for resource in dashboard.get(f"/templateversions/{version['id']}/resources"):
        assert resource["workspace_transition"] in {"start", "stop"}
        assert isinstance(resource["daily_cost"], int)
        for agent in resource.get("agents") or ():
            assert agent["name"]
    for row in dashboard.get(f"/templates/{template['id']}/versions"):
        assert row["created_by"]["username"]
        assert TIME.fullmatch(row["created_at"])
    assert isinstance(dashboard.get(f"/templates/{template['id']}/daus")["entries"], list)
    by_name = f"/organizations/{organization}/templateversions/{version['name']}"
    assert dashboard.get(by_name)["id"] == version["id"]
    assert dashboard.problem("GET", f"{by_name}/previous")[0] == 404  # the page expects 404 if there is none
    response = dashboard.send("GET", f"/files/{version['job']['file_id']}")
    assert response.content == ARCHIVE


def test_the_previous_version_is_found_for_a_comparison(dashboard, organization):
    template = create_template(dashboard, organization, "compared")
    first = dashboard.get(f"/templateversions/{template['active_version_id']}")
    second = create_version(
        dashboard, organization, file_id=upload(dashboard, ARCHIVE + bytes(1024)), template_id=template["id"]
    )
    path = f"/organizations/{organization}/templateversions/{second['name']}"
    assert dashboard.get(f"{path}/previous")["id"] == first["id"]


def test_template_settings_are_saved_and_validated(dashboard, organization):
    template = create_template(dashboard, organization, "set")
    path = f"/templates/{template['id']}"
    form = {
        "name": "set",
        "display_name": "Settings",
        "description": "words",
        "default_ttl_ms": 3_600_000,
        "icon": "/emojis/1f3e1.png",
        "allow_user_cancel_workspace_jobs": True,
    }
    changed = dashboard.call("PATCH", path, form, status=200)
    assert {name: changed[name] for name in form} == form
    assert dashboard.call("PATCH", path, form, status=200)["updated_at"]  # axios treats a 304 as an error
    assert dashboard.problem("PATCH", path, {**form, "name": "not a name"}) == (400, ["name"])
    assert dashboard.problem("PATCH", path, {**form, "default_ttl_ms": -1}) == (400, ["default_ttl_ms"])
    create_template(dashboard, organization, "taken")
    assert dashboard.problem("PATCH", path, {**form, "name": "taken"}) == (409, ["name"])
    assert dashboard.call("DELETE", path)["message"]


def test_a_template_with_a_missing_variable_is_created_with_a_value(dashboard, organization):
    version = create_version(dashboard, organization, file_id=upload(dashboard, ASKING))
    assert version["job"]["status"] == "failed"
    assert "missing parameter" in version["job"]["error"].lower()
    path = f"/templateversions/{version['id']}"
    lines = dashboard.get(f"{path}/logs")
    assert [line["stage"] for line in lines]
    schemas = dashboard.get(f"{path}/schema")
    assert schemas[0]["name"] == "zone"
    assert schemas[0].get("validation_contains") in (None, [])
    values = [
        {
            "name": schema["name"],
            "source_value": "z",
            "source_scheme": "data",
            "destination_scheme": schema["default_destination_scheme"],
        }
        for schema in schemas
    ]
    again = create_version(dashboard, organization, file_id=version["job"]["file_id"], parameter_values=values)
    assert again["job"]["status"] == "succeeded"
    shown = dashboard.get(f"/templateversions/{again['id']}/parameters")
    assert {value["name"]: value["source_value"] for value in shown} == {"zone": "z", "known": "z"}


def test_a_template_is_created_from_a_starter(dashboard, organization):
    examples = dashboard.get(f"/organizations/{organization}/templates/examples")
    for example in examples:
        assert isinstance(example["tags"], list)
        assert example["name"]
        assert example["markdown"]
        assert example["url"].startswith("https://")
    body = {"storage_method": "file", "provisioner": "terraform", "tags": {}, "example_id": examples[0]["id"]}
    version = dashboard.call("POST", f"/organizations/{organization}/templateversions", body, status=201)
    dashboard.call("PATCH", f"/templateversions/{version['id']}/cancel", status=200)


# ---------------------------------------------------------------------- access, groups, users
def test_the_access_list_is_shown_and_changed(dashboard, organization):
    template = create_template(dashboard, organization, "shared")
    path = f"/templates/{template['id']}/acl"
    shown = dashboard.get(path)
    assert shown["users"] == []
    (everyone,) = shown["group"]
    assert (everyone["id"], everyone["role"]) == (organization, "use")
    assert everyone["members"][0]["username"]
    user = create_user(dashboard, organization, "reader")
    change = {"user_perms": {user["id"]: "admin"}, "group_perms": {organization: ""}}
    assert dashboard.call("PATCH", path, change)["message"]
    shown = dashboard.get(path)
    assert [(row["username"], row["role"]) for row in shown["users"]] == [("reader", "admin")]
    assert shown["group"] == []


def create_user(tab: Dashboard, organization: str, name: str) -> dict[str, Any]:
    body = {"username": name, "email": f"{name}@example.test", "password": PASSWORD, "organization_id": organization}
    return tab.call("POST", "/users", body, status=201)


def test_groups_are_created_changed_and_deleted(dashboard, organization):
    group = dashboard.call(
        "POST",
        f"/organizations/{organization}/groups",
        {"name": "front", "avatar_url": "", "quota_allowance": 0},
        status=201,
    )
    assert "front" in {row["name"] for row in dashboard.get(f"/organizations/{organization}/groups")}
    user = create_user(dashboard, organization, "member")
    path = f"/groups/{group['id']}"
    change = {"name": "", "add_users": [user["id"]], "remove_users": []}
    assert [row["username"] for row in dashboard.call("PATCH", path, change)["members"]] == ["member"]
    assert dashboard.get(path)["name"] == "front"
    checks = {
        "canUpdateGroup": {"object": {"resource_type": "group", "resource_id": group["id"]}, "action": "update"},
    }
    assert dashboard.call("POST", "/authcheck", {"checks": checks}) == {"canUpdateGroup": True}
    assert dashboard.call("DELETE", path)["message"]


def test_users_are_created_changed_and_deleted(dashboard, organization):
    user = create_user(dashboard, organization, "worker")
    path = f"/users/{user['id']}"
    page = dashboard.get("/users?q=worker&limit=25&offset=0")
    assert page["count"] == 1
    assert page["users"][0]["organization_ids"][0]
    assert isinstance(page["users"][0]["roles"], list)
    roles = dashboard.get("/users/roles")
    assert all(isinstance(role["assignable"], bool) for role in roles)
    assert [role["name"] for role in dashboard.call("PUT", f"{path}/roles", {"roles": ["auditor"]})["roles"]] == [
        "auditor"
    ]
    assert dashboard.call("PUT", f"{path}/status/suspend")["status"] == "suspended"
    assert dashboard.call("PUT", f"{path}/status/activate")["status"] == "active"
    assert dashboard.call("PUT", f"{path}/profile", {"username": "renamed"})["username"] == "renamed"
    assert dashboard.call("PUT", f"{path}/password", {"password": "another long password"}, status=204) is None
    assert dashboard.get(f"/organizations/{organization}/members/roles")
    assert dashboard.call("DELETE", path)["message"]
    assert dashboard.problem("POST", "/users", {"username": "x y", "email": "no"}) == (400, ["email", "username"])


def test_tokens_audit_log_and_quota_are_readable(dashboard):
    assert isinstance(dashboard.get("/users/me/keys/tokens"), list)
    audit = dashboard.get("/audit?limit=25&offset=0&q=")
    assert audit["count"] >= len(audit["audit_logs"])
    for row in audit["audit_logs"]:
        assert row["action"]
        assert isinstance(row["diff"], dict)
    assert isinstance(dashboard.get("/insights/daus")["entries"], list)
    quota = dashboard.get("/workspace-quota/me")
    assert (quota["credits_consumed"], quota["budget"]) == (0, -1)
    assert dashboard.get("/replicas") == []
