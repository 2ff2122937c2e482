"""Refused changes of workspaces and builds are in the audit log, once each, whatever refuses them."""

import uuid
from datetime import timedelta
from functools import partial

import pytest
from django.core.management import CommandError
from django.db.models import F

from coderproj.identity import audit
from coderproj.identity.models import AuditLog, User
from provisioning.queue import jobs
from templates_app.models import Template
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.views.base import RecordsRefusals
from tests.commands import run
from tests.factories import make_user, make_workspace
from tests.pages import browser
from tests.routes import api_routes

pytestmark = pytest.mark.django_db

SOON = "2020-01-01T00:00:00Z"
# By method and route of a workspace or a build: a valid body, bodies that are refused, and the kind of the object.
CHANGES = {
    ("PATCH", "workspaces/<str:workspace>"): ({"name": "next"}, [{"name": "-"}, {"name": "taken"}], "workspace"),
    ("PUT", "workspaces/<str:workspace>/autostart"): (
        {"schedule": "0 9 * * *"},
        [{"schedule": "daily"}, {"schedule": 5}],
        "workspace",
    ),
    ("PUT", "workspaces/<str:workspace>/ttl"): ({"ttl_ms": 60_000}, [{"ttl_ms": 1}, {"ttl_ms": "long"}], "workspace"),
    ("PUT", "workspaces/<str:workspace>/extend"): (
        {"deadline": "2100-01-01T00:00:00Z"},
        [{"deadline": SOON}, {"deadline": "tomorrow"}, {"deadline": "2100-01-01T00:00:00Z"}],
        "workspace",
    ),
    ("POST", "workspaces/<str:workspace>/builds"): (
        {"transition": "stop"},
        [
            {"transition": "pause"},
            {"transition": "start", "orphan": True},
            {"transition": "delete", "orphan": True},
            {"transition": "start", "template_version_id": str(uuid.uuid4())},
            {"transition": "stop", "rich_parameter_values": [{"name": "unknown", "value": "1"}]},
        ],
        "workspace",
    ),
    ("PATCH", "workspacebuilds/<str:workspacebuild>/cancel"): (None, [None], "provisioner_job"),
}
ROUTES = pytest.mark.parametrize(("method", "route"), CHANGES, ids=lambda part: part)


def path_of(route, workspace):
    return route.replace("<str:workspace>", str(workspace.pk)).replace(
        "<str:workspacebuild>", str(workspace.latest_build_id)
    )


def new_rows(work, *arguments):
    """Return what ``work`` returns, and type and status of the rows of refusals that it adds."""
    before = set(AuditLog.objects.values_list("pk", flat=True))
    answer = work(*arguments)
    rows = AuditLog.objects.exclude(pk__in=before).filter(status_code__gte=400).order_by("time")
    return answer, [(row.resource_type, row.status_code) for row in rows]


def test_every_change_of_a_workspace_or_a_build_is_here():
    found = {
        (method, route.pattern)
        for route in api_routes()
        if issubclass(route.view, RecordsRefusals)
        and {"<str:workspace>", "<str:workspacebuild>"} & set(route.pattern.split("/"))
        for method in route.methods
        if method != "GET"
    }
    assert found == set(CHANGES)


@ROUTES
def test_who_may_only_read_is_refused(callers, workspace, method, route):
    valid, bad, kind = CHANGES[method, route]
    for body in (valid, *bad):
        answer, rows = new_rows(callers["template admin"].call, method, path_of(route, workspace), body)
        assert (answer.status_code, rows) == (403, [(kind, 403)]), body


@ROUTES
def test_what_is_hidden_is_not_recorded(callers, workspace, method, route):
    valid, _, _ = CHANGES[method, route]
    answer, rows = new_rows(callers["member"].call, method, path_of(route, workspace), valid)
    assert (answer.status_code, rows) == (404, [])


@ROUTES
def test_bad_bodies_and_states_are_recorded(api, ada, template, workspace, method, route):
    make_workspace(user=ada, template=template, name="taken")
    _, bad, kind = CHANGES[method, route]
    for body in bad:
        answer, rows = new_rows(api.call, method, path_of(route, workspace), body)
        assert answer.status_code in {400, 403, 409}, answer.body
        assert rows == [(kind, answer.status_code)], body
        assert AuditLog.objects.latest("time").diff == {}
    assert Workspace.objects.get(pk=workspace.pk).name == "dev"


@ROUTES
def test_body_that_is_no_json_is_recorded(api, workspace, method, route):
    valid, _, kind = CHANGES[method, route]
    if valid is None:
        return  # it has no body
    for raw in (b"{", b"[]", b"\xff"):
        answer, rows = new_rows(partial(api.call, method, path_of(route, workspace), raw=raw))
        assert (answer.status_code, rows) == (400, [(kind, 400)])


@ROUTES
def test_changes_of_a_deleted_workspace_are_recorded(api, workspace, method, route):
    valid, _, kind = CHANGES[method, route]
    Workspace.objects.update(deleted=True)
    answer, rows = new_rows(api.call, method, path_of(route, workspace), valid)
    assert answer.status_code in {400, 405, 410}
    assert rows == [(kind, answer.status_code)]


def test_conflicts_of_builds_are_recorded(api, workspace):
    """409: a build is active; extend: the workspace does not run."""
    assert api.post(f"workspaces/{workspace.pk}/builds", {"transition": "stop"}).status_code == 201
    for method, end, body in (("POST", "builds", {"transition": "start"}), ("PUT", "extend", {"deadline": SOON})):
        answer, rows = new_rows(api.call, method, f"workspaces/{workspace.pk}/{end}", body)
        assert (answer.status_code, rows) == (409, [("workspace", 409)])
    actions = AuditLog.objects.filter(status_code=409).order_by("time").values_list("action", flat=True)
    assert list(actions) == ["start", "write"]


def test_cancellation_that_is_refused_is_recorded(api, owner, template, workspace):
    Template.objects.update(allow_user_cancel_workspace_jobs=False)
    build = api.post(f"workspaces/{workspace.pk}/builds", {"transition": "stop"}).body["id"]
    cancel = f"workspacebuilds/{build}/cancel"
    answer, rows = new_rows(api.patch, cancel)
    assert (answer.status_code, rows) == (403, [("provisioner_job", 403)])
    Template.objects.update(allow_user_cancel_workspace_jobs=True)
    jobs.cancel(WorkspaceBuild.objects.get(pk=build).job_id)
    answer, rows = new_rows(api.patch, cancel)
    assert (answer.status_code, rows) == (400, [("provisioner_job", 400)])


# ---------------------------------------------------------------------- bounds
def refuse(api, workspace, count):
    """Send changes that are refused; return the number of rows that they add."""
    before = AuditLog.objects.count()
    for _ in range(count):
        assert api.patch(f"workspaces/{workspace.pk}", {"name": "-"}).status_code in {400, 403}
    return AuditLog.objects.count() - before


def test_rows_of_one_actor_are_bounded_per_hour(api, callers, ada, workspace, monkeypatch):
    monkeypatch.setattr(audit, "REFUSED_PER_HOUR", 3)
    reader = callers["template admin"]
    assert refuse(reader, workspace, 5) == 3
    assert refuse(api, workspace, 2) == 2  # another actor
    user = User.objects.get(pk=AuditLog.objects.filter(status_code=403).latest("time").user_id)
    answer, rows = new_rows(browser(user).post, "/@ada/dev/stop", {})
    assert (answer.status_code, rows) == (403, [])
    AuditLog.objects.filter(status_code=403).update(time=F("time") - timedelta(hours=1))
    assert refuse(reader, workspace, 5) == 3


def test_changes_are_recorded_beyond_the_bound(api, ada, workspace, monkeypatch):
    monkeypatch.setattr(audit, "REFUSED_PER_HOUR", 2)
    assert refuse(api, workspace, 4) == 2
    before = AuditLog.objects.count()
    assert api.patch(f"workspaces/{workspace.pk}", {"name": "next"}).status_code == 204
    assert AuditLog.objects.count() == before + 1


def test_failed_sign_ins_and_builds_leave_room_for_refusals(api, ada, workspace, monkeypatch):
    """Others can cause the former, and the latter are no refusals."""
    monkeypatch.setattr(audit, "REFUSED_PER_HOUR", 2)
    row = {"user_id": ada.pk, "resource_type": "workspace", "resource_id": "1", "resource_target": "dev"}
    for _ in range(3):
        AuditLog.objects.create(**row, action="login", status_code=401)
        AuditLog.objects.create(**row, action="start", status_code=500, additional_fields={"buildNumber": "1"})
    assert refuse(api, workspace, 4) == 2


def test_the_oldest_refusals_of_the_actor_give_way(api, callers, ada, workspace, monkeypatch):
    monkeypatch.setattr(audit, "REFUSED_KEPT", 3)
    assert refuse(callers["template admin"], workspace, 1) == 1
    assert api.patch(f"workspaces/{workspace.pk}", {"name": "next"}).status_code == 204
    assert refuse(api, workspace, 5) == 3
    rows = AuditLog.objects.filter(user_id=ada.pk, status_code=400)
    assert rows.count() == 3
    assert AuditLog.objects.filter(status_code=403).count() == 1
    assert AuditLog.objects.filter(user_id=ada.pk, status_code__lt=300, diff__has_key="name").exists()


# ---------------------------------------------------------------------- creation
@pytest.mark.parametrize("creates", ["organization", "user"])
def test_refused_creations_are_recorded(api, ada, organization, template, workspace, creates):
    path = "users/me/workspaces" if creates == "user" else f"organizations/{organization.pk}/members/me/workspaces"
    for body, status in (
        ({"template_id": str(template.pk), "name": "dev"}, 409),
        ({"template_id": str(template.pk), "name": "-"}, 400),
        ({"template_id": str(template.pk), "name": "new", "ttl_ms": 1}, 400),
        ({"template_id": str(uuid.uuid4()), "name": "new"}, 400),
        ({"name": "new"}, 400),
    ):
        answer, rows = new_rows(api.post, path, body)
        assert (answer.status_code, rows) == (status, [("workspace", status)]), answer.body
        row = AuditLog.objects.latest("time")
        assert (row.action, row.user_id, row.resource_id) == ("create", ada.pk, str(uuid.UUID(int=0)))
    names = AuditLog.objects.filter(status_code=409).values_list("resource_target", "organization_id")
    assert list(names) == [("dev", organization.pk)]
    assert Workspace.objects.count() == 1


def test_the_log_of_refused_creations_can_be_read(api, owner, callers, organization, template, workspace):
    api.post(f"organizations/{organization.pk}/members/me/workspaces", {"template_id": str(template.pk), "name": "dev"})
    answer = callers["owner"].get("audit?q=resource_type:workspace action:create&limit=10")
    assert answer.body["audit_logs"][0]["status_code"] == 409
    assert browser(owner).get("/audit").status_code == 200


# ---------------------------------------------------------------------- pages and commands
def test_pages_record_what_they_refuse(organization, workspace):
    reader = browser(make_user(organizations=(organization,), site_roles=("template-admin",)))
    for page in ("start", "stop", "delete", "cancel", "schedule", "update"):
        answer, rows = new_rows(reader.post, f"/@ada/dev/{page}", {})
        assert (answer.status_code, rows) == (403, [("workspace", 403)]), page
        answer, rows = new_rows(reader.get, f"/@ada/dev/{page}")
        assert (answer.status_code, rows) == (403, []), page


def test_pages_record_what_services_refuse(ada, template, workspace):
    page = browser(ada)
    answer, rows = new_rows(
        page.post,
        f"/templates/{template.organization.name}/{template.name}/workspace",
        {"name": "dev", "mode": "never"},
    )
    assert (answer.status_code, rows) == (409, [("workspace", 409)])
    _, rows = new_rows(page.post, "/@ada/dev/extend", {"hours": "999"})
    assert rows == [("workspace", 409)]  # it has no deadline


def refused_command(command, *options):
    with pytest.raises(CommandError):
        run("workspaces", command, "ada/dev", *options)


def test_commands_record_what_they_refuse(owner, workspace):
    for arguments in (("schedule", "--start", "daily"), ("schedule", "--ttl", "1s"), ("schedule", "--extend", "5m")):
        command, *options = arguments
        _, rows = new_rows(refused_command, command, *options)
        assert [kind for kind, _ in rows] == ["workspace"], arguments
