"""Workspaces by id and by name, their changes, and who may do what."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from coderproj.identity.models import AuditLog, Membership
from provisioning.engine.base import BuildResult, Resource
from templates_app.models import Template
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from tests.api import fields_of
from tests.factories import finish, make_user, make_workspace

pytestmark = pytest.mark.django_db
KEYS = [
    "id",
    "created_at",
    "updated_at",
    "owner_id",
    "owner_name",
    "template_id",
    "template_name",
    "template_display_name",
    "template_icon",
    "template_allow_user_cancel_workspace_jobs",
    "latest_build",
    "outdated",
    "name",
    "last_used_at",
]


def delete(api, workspace):
    """Build the deletion of a workspace and end it."""
    built = api.post(f"workspaces/{workspace.pk}/builds", {"transition": "delete"})
    assert built.status_code == 201
    finish(WorkspaceBuild.objects.get(pk=built.body["id"]).job)


# ---------------------------------------------------------------------- reading
def test_workspace_by_id_and_by_name(api, ada, workspace):
    """WSP-01, WSP-08."""
    found = api.get(f"workspaces/{workspace.pk}")
    assert found.status_code == 200
    assert list(found.body) == KEYS
    assert (found.body["name"], found.body["outdated"]) == ("dev", False)
    assert found.body["latest_build"]["status"] == "running"
    for user in ("me", "ada", "ADA", str(ada.pk)):
        for name in ("dev", "DEV"):
            assert api.get(f"users/{user}/workspace/{name}").body == found.body


def test_build_has_the_keys_of_the_contract(api, workspace):
    build = api.get(f"workspaces/{workspace.pk}").body["latest_build"]
    assert list(build) == [
        *("id", "created_at", "updated_at", "workspace_id", "workspace_name", "workspace_owner_id"),
        *("workspace_owner_name", "template_version_id", "template_version_name", "build_number", "transition"),
        *("initiator_id", "initiator_name", "job", "reason", "resources", "deadline", "status", "daily_cost"),
    ]
    assert build["deadline"] is None
    assert (build["workspace_name"], build["workspace_owner_name"]) == ("dev", "ada")


def test_deleted_workspace(api, workspace):
    """WSP-02, WSP-09, BLD-11."""
    delete(api, workspace)
    assert api.get(f"workspaces/{workspace.pk}").status_code == 410
    found = api.get(f"workspaces/{workspace.pk}?include_deleted=true")
    assert (found.status_code, found.body["latest_build"]["status"]) == (200, "deleted")
    assert found.body["latest_build"]["transition"] == "delete"
    assert api.get("users/me/workspace/dev").status_code == 404
    assert api.get("users/me/workspace/dev?include_deleted=true").body == found.body
    assert api.get("workspaces?q=owner:me").body == {"workspaces": [], "count": 0}


def test_deleted_workspaces_of_one_name(api, ada, template, workspace):
    """WSP-10, WSP-11: the existing one, else the last one."""
    delete(api, workspace)
    second = make_workspace(user=ada, template=template, name="Dev")
    path = "users/me/workspace/dev?include_deleted=1"
    assert api.get(path).body["id"] == str(second.pk)
    delete(api, second)
    assert api.get(path).body["id"] == str(second.pk)
    third = make_workspace(user=ada, template=template, name="dev")
    Workspace.objects.filter(pk=third.pk).update(created_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert api.get(path).body["id"] == str(third.pk)


def test_workspace_of_a_deleted_template(api, owner, template, workspace):
    """WSP-19."""
    delete(api, workspace)
    Template.objects.filter(pk=template.pk).update(deleted=True)
    for path in (f"workspaces/{workspace.pk}", "users/me/workspace/dev"):
        found = api.get(f"{path}?include_deleted=true")
        assert (found.status_code, found.body["template_name"]) == (200, "web")


def test_template_is_echoed(api, template, workspace):
    """WSP-05."""
    Template.objects.filter(pk=template.pk).update(
        icon="/icon/x.svg", display_name="Web", allow_user_cancel_workspace_jobs=False
    )
    found = api.get(f"workspaces/{workspace.pk}").body
    assert (found["template_icon"], found["template_display_name"]) == ("/icon/x.svg", "Web")
    assert found["template_allow_user_cancel_workspace_jobs"] is False


@pytest.mark.parametrize("text", ["maybe", "yes", "2", "TrUe"])
def test_bad_include_deleted(api, workspace, text):
    """WSP-18."""
    for path in (f"workspaces/{workspace.pk}", "users/me/workspace/dev"):
        answer = api.get(f"{path}?include_deleted={text}")
        assert (answer.status_code, fields_of(answer)) == (400, ["include_deleted"])
        assert api.get(f"{path}?include_deleted=F").status_code == 200


def test_bad_ids_and_names(api, workspace):
    """WSP-12."""
    assert api.get("workspaces/nonsense").status_code == 400
    assert api.get(f"workspaces/{uuid.uuid4()}").status_code == 404
    assert api.get(f"workspacebuilds/{uuid.uuid4()}").status_code == 404
    assert api.get("users/nobody/workspace/dev").status_code == 400
    assert api.get("users/me/workspace/nothing").status_code == 404


def test_resources_keep_the_order_of_the_plan(api, ada, template):
    """BLD-16, BLD-39, AGT-01."""
    from provisioning.engine.base import Agent

    beta = Resource("beta", "vm", icon="/b.svg", agents=(Agent(name="b"), Agent(name="a")))
    workspace = make_workspace(user=ada, template=template, result=BuildResult((beta, Resource("alpha", "vm"))))
    build = api.get(f"workspaces/{workspace.pk}").body["latest_build"]
    assert [resource["name"] for resource in build["resources"]] == ["beta", "alpha"]
    assert [agent["name"] for agent in build["resources"][0]["agents"]] == ["b", "a"]
    assert build["resources"][0]["icon"] == "/b.svg"
    listed = api.get(f"workspacebuilds/{build['id']}/resources").body
    assert [resource["name"] for resource in listed] == ["alpha", "beta"]
    assert {str(api.get(f"workspacebuilds/{build['id']}").body) for _ in range(20)} == {str(build)}


# ---------------------------------------------------------------------- changes
def test_rename(api, ada, template, workspace):
    """WSP-03, WSP-04, WSP-14."""
    make_workspace(user=ada, template=template, name="taken")
    rename = lambda name: api.patch(f"workspaces/{workspace.pk}", {"name": name})  # noqa: E731
    assert rename("fresh").status_code == 204
    assert api.get(f"workspaces/{workspace.pk}").body["name"] == "fresh"
    taken = rename("Taken")
    assert (taken.status_code, fields_of(taken)) == (409, ["name"])
    assert rename("Fresh").status_code == 204
    assert api.get(f"workspaces/{workspace.pk}").body["latest_build"]["workspace_name"] == "Fresh"


@pytest.mark.parametrize("name", ["", "x" * 33, "-dev", "a--b", "a_b", "ü", 1])
def test_bad_name(api, workspace, name):
    """WSP-15."""
    answer = api.patch(f"workspaces/{workspace.pk}", {"name": name})
    assert (answer.status_code, fields_of(answer)) == (400, ["name"])


def test_rename_without_a_name_changes_nothing(api, workspace):
    """WSP-15: ``{}``, by decision 5."""
    for body in ({}, {"name": None}, {"other": 1}):
        assert api.patch(f"workspaces/{workspace.pk}", body).status_code == 204
    assert Workspace.objects.get().name == "dev"


def test_rename_while_a_build_waits(api, ada, template):
    """WSP-17."""
    workspace = make_workspace(user=ada, template=template, finished=False)
    assert api.patch(f"workspaces/{workspace.pk}", {"name": "later"}).status_code == 204
    assert api.get("users/me/workspace/later").body["latest_build"]["workspace_name"] == "later"


def test_changes_of_a_deleted_workspace(api, workspace):
    """WSP-16, SCH-18, BLD-24: the body is not read."""
    delete(api, workspace)
    path = f"workspaces/{workspace.pk}"
    rename = api.patch(path, {"name": 1})
    assert (rename.status_code, bool(rename.body["message"])) == (405, True)
    assert api.put(f"{path}/autostart", {"schedule": 1}).status_code == 410
    assert api.put(f"{path}/ttl", {"ttl_ms": "x"}).status_code == 410
    assert api.put(f"{path}/extend", {}).status_code == 410
    jobs = WorkspaceBuild.objects.count()
    assert api.post(f"{path}/builds", {"transition": "start"}).status_code == 410
    assert WorkspaceBuild.objects.count() == jobs


def test_each_change_moves_the_time_of_change(api, workspace):
    """WSP-23."""
    path = f"workspaces/{workspace.pk}"
    seen = [api.get(path).body["updated_at"]]
    api.patch(path, {"name": "new"})
    seen.append(api.get(path).body["updated_at"])
    api.put(f"{path}/autostart", {"schedule": "0 9 * * 1-5"})
    seen.append(api.get(path).body["updated_at"])
    api.put(f"{path}/ttl", {"ttl_ms": 3_600_000})
    seen.append(api.get(path).body["updated_at"])
    delete(api, workspace)
    seen.append(api.get(f"{path}?include_deleted=true").body["updated_at"])
    assert seen == sorted(set(seen))


def test_schedule_and_ttl_are_returned_as_sent(api, workspace):
    path = f"workspaces/{workspace.pk}"
    schedule = "CRON_TZ=Europe/Dublin 30 9 * * MON-FRI"
    assert api.put(f"{path}/autostart", {"schedule": schedule}).status_code == 204
    assert api.put(f"{path}/ttl", {"ttl_ms": 90_500}).status_code == 204
    found = api.get(path).body
    assert (found["autostart_schedule"], found["ttl_ms"]) == (schedule, 60_000)
    for body in ({"schedule": None}, {}, {"schedule": ""}):
        assert api.put(f"{path}/autostart", body).status_code == 204
    for body in ({"ttl_ms": None}, {}, {"ttl_ms": 0}):
        assert api.put(f"{path}/ttl", body).status_code == 204
    assert {"autostart_schedule", "ttl_ms"}.isdisjoint(api.get(path).body)


@pytest.mark.parametrize("ttl", [-1, 1, 59_999, 604_860_000, 2**63, "60000", 1.5, True])
def test_bad_ttl(api, workspace, ttl):
    answer = api.put(f"workspaces/{workspace.pk}/ttl", {"ttl_ms": ttl})
    assert (answer.status_code, fields_of(answer)) == (400, ["ttl_ms"])


@pytest.mark.parametrize("schedule", ["CRON_TZ=Local 0 9 * * *", "0 9 1 * *", "0 9 *", "x" * 2000, "* * * * *", 5])
def test_bad_schedule(api, workspace, schedule):
    answer = api.put(f"workspaces/{workspace.pk}/autostart", {"schedule": schedule})
    assert (answer.status_code, fields_of(answer)) == (400, ["schedule"])


def test_extension(api, workspace):
    path = f"workspaces/{workspace.pk}/extend"
    soon = datetime.now(UTC) + timedelta(hours=2)
    assert api.put(path, {"deadline": soon.isoformat()}).status_code == 409
    WorkspaceBuild.objects.update(deadline=datetime.now(UTC) + timedelta(hours=1))
    answer = api.put(path, {"deadline": soon.isoformat()})
    assert answer.status_code == 200
    found = api.get(f"workspaces/{workspace.pk}").body["latest_build"]["deadline"]
    assert datetime.fromisoformat(found) == soon
    for late in ("0001-01-01T00:00:00Z", (datetime.now(UTC) + timedelta(minutes=15)).isoformat()):
        assert api.put(path, {"deadline": late}).status_code == 400
    for bad in ("soon", 1, "", "9999-12-31T23:59:59-23:59"):
        answer = api.put(path, {"deadline": bad})
        assert answer.status_code == 400
    assert fields_of(api.put(path, {})) == ["deadline"]
    assert api.put(path, {"deadline": "2200-01-01T00:00:00Z"}).status_code == 400


# ---------------------------------------------------------------------- permissions
READS = ("", "/builds")
CHANGES = {
    "rename": ("PATCH", "", {"name": 1}),
    "autostart": ("PUT", "/autostart", {"schedule": 1}),
    "ttl": ("PUT", "/ttl", {"ttl_ms": "x"}),
    "extend": ("PUT", "/extend", {}),
    "build": ("POST", "/builds", {"transition": "x"}),
}
# The status of reads and that of changes with an invalid body, which is read after the permission is checked.
MATRIX = {
    "owner": (200, 400),
    "workspace owner": (200, 400),
    "organization admin": (200, 400),
    "template admin": (200, 403),
    "user admin": (404, 404),
    "auditor": (404, 404),
    "member": (404, 404),
    "stranger": (404, 404),
}


@pytest.mark.parametrize("relation", MATRIX)
def test_permission_matrix(callers, workspace, relation):
    """WSP-20, WSP-21, BLD-26: hidden workspaces answer as those that do not exist."""
    api, (reads, changes) = callers[relation], MATRIX[relation]
    build = workspace.latest_build
    paths = [f"workspaces/{workspace.pk}{end}" for end in READS]
    paths += [f"workspacebuilds/{build.pk}{end}" for end in ("", "/logs", "/resources", "/parameters")]
    paths += ["users/ada/workspace/dev", "users/ada/workspace/dev/builds/1"]
    unseen = 400 if relation == "stranger" else 404  # the user ada is not visible to strangers
    for path in paths:
        expected = unseen if path.startswith("users/") and reads == 404 else reads
        assert api.get(path).status_code == expected, path
    for method, end, body in CHANGES.values():
        answer = api.call(method, f"workspaces/{workspace.pk}{end}", body)
        assert answer.status_code == changes, end
        if changes == 404:
            unknown = api.call(method, f"workspaces/{uuid.uuid4()}{end}", body)
            assert (answer.status_code, answer.body) == (unknown.status_code, unknown.body)


def test_lists_of_each_relation(callers, workspace):
    """WSP-06, WSP-22."""
    for relation, (reads, _) in MATRIX.items():
        body = callers[relation].get("workspaces").body
        assert (body["count"], len(body["workspaces"])) == ((1, 1) if reads == 200 else (0, 0)), relation


def test_refused_changes_are_audited(callers, workspace):
    AuditLog.objects.all().delete()
    for method, end, body in (CHANGES["rename"], CHANGES["autostart"], CHANGES["ttl"]):
        callers["template admin"].call(method, f"workspaces/{workspace.pk}{end}", body)
    rows = AuditLog.objects.values_list("resource_type", "action", "status_code", "diff")
    assert list(rows) == [("workspace", "write", 403, {})] * 3


def test_owner_who_left_the_organization(api, ada, callers, workspace):
    Membership.objects.filter(user=ada).delete()
    assert api.get(f"workspaces/{workspace.pk}").status_code == 404
    assert callers["organization admin"].get(f"workspaces/{workspace.pk}").status_code == 200


def test_key_of_narrow_scope(ada, api, workspace):
    from coderproj.identity import tokens

    _, api.headers["HTTP_CODER_SESSION_TOKEN"] = tokens.issue(user=ada, scope="application_connect")
    for _ in range(2):  # without and with a cached caller
        for path in (f"workspaces/{workspace.pk}", "workspaces", f"workspacebuilds/{workspace.latest_build_id}"):
            assert api.get(path).status_code == 404


def test_authcheck_of_a_workspace(callers, workspace):
    """The dashboard names the workspace and its owner, and no organization."""
    checked = {"resource_type": "workspace", "resource_id": str(workspace.pk), "owner_id": str(workspace.owner_id)}
    body = {"checks": {action: {"object": checked, "action": action} for action in ("read", "update")}}
    for relation, (reads, changes) in MATRIX.items():
        expected = {"read": reads == 200, "update": changes == 400}
        assert callers[relation].post("authcheck", body).body == expected, relation


def test_signed_out(workspace):
    """WSP-07."""
    from tests.contract.described import DescribedApiClient

    assert DescribedApiClient().get("users/ada/workspace/dev").status_code == 401


def test_owner_of_two_workspaces_of_one_name_in_two_organizations(api, ada, template):
    """CRE-17: names are unique by owner, so a name leads to one workspace."""
    other = make_user(organizations=(template.organization,))
    make_workspace(user=other, template=template, name="dev")
    mine = make_workspace(user=ada, template=template, name="dev")
    assert api.get("users/me/workspace/dev").body["id"] == str(mine.pk)
