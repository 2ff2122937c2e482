"""Builds: create, list, read, cancel, their states, parameters and logs."""

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from provisioning.engine import base
from provisioning.engine.base import BuildResult, LogLevel, Resource
from provisioning.log import writing
from provisioning.models import ProvisionerJob
from provisioning.queue import jobs
from templates_app.models import Template, TemplateAccess
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from tests.api import fields_of
from tests.factories import claim, finish, in_state, make_organization, make_template, make_version, make_workspace
from tests.templates_app.workspaces.views.test_creation import with_parameters

pytestmark = pytest.mark.django_db
NIL = str(uuid.UUID(int=0))


@pytest.fixture
def build(api, workspace):
    """Create a build of the workspace."""

    def call(transition="start", api=api, workspace=workspace, **body):
        sent = {"transition": transition} | body
        return api.post(f"workspaces/{workspace.pk}/builds", {k: v for k, v in sent.items() if v != "ABSENT"})

    return call


def end(answer, **outcome):
    """End the build that a response describes."""
    assert answer.status_code == 201, answer.raw
    finish(WorkspaceBuild.objects.get(pk=answer.body["id"]).job, **outcome)
    return answer.body["id"]


# ---------------------------------------------------------------------- creating
def test_builds_are_numbered(build, api, workspace):
    """BLD-01, BLD-09, BLD-35."""
    for number, transition in enumerate(("start", "stop", "stop", "start", "delete"), start=2):
        answer = build(transition)
        assert (answer.body["build_number"], answer.body["status"]) == (number, "pending")
        assert (answer.body["transition"], answer.body["resources"]) == (transition, [])
        error = "it failed" if transition == "delete" else None
        end(answer, error=error)
        assert api.get(f"workspacebuilds/{answer.body['id']}").status_code == 200
    end(build("delete"))
    assert Workspace.objects.get().deleted


def test_busy_workspace(build):
    """BLD-08."""
    assert build().status_code == 201
    answer = build("stop")
    assert (answer.status_code, bool(answer.body["message"])) == (409, True)


@pytest.mark.parametrize("transition", ["create", "", "pause", "ABSENT", 1, None, ["start"]])
def test_bad_transition(build, transition):
    """BLD-21."""
    answer = build(transition)
    assert (answer.status_code, fields_of(answer)) == (400, ["transition"])


def test_orphan_and_state(build, callers, owner):
    """BLD-13, BLD-22."""
    admin = callers["owner"]
    for transition in ("start", "stop"):
        answer = build(transition, admin, orphan=True)
        assert (answer.status_code, fields_of(answer)) == (400, ["orphan"])
    answer = build("delete", admin, orphan=True, state=base64.b64encode(b"{}").decode())
    assert (answer.status_code, fields_of(answer)) == (400, ["orphan"])
    assert build("delete", orphan=True).status_code == 403
    end(build("delete", admin, orphan=True))
    assert Workspace.objects.get().deleted


def test_false_orphan_needs_no_right(build):
    assert build("delete", orphan=False, state=None).status_code == 201


@pytest.mark.parametrize("state", ["%%%", "abc", 5, "ü"])
def test_bad_state(build, state):
    answer = build(state=state)
    assert (answer.status_code, fields_of(answer)) == (400, ["state"])


def test_state_is_pushed_and_pulled(build, callers, api, workspace):
    """BLD-10, BLD-12, BLD-27."""
    state = json.dumps({"serial": 4}).encode()
    sent = base64.b64encode(state).decode()
    assert build(state=sent).status_code == 403
    assert build(api=callers["template admin"], state=sent).status_code == 403  # may not build
    number = end(build(api=callers["owner"], state=sent))
    expected = {
        "owner": 200,
        "organization admin": 200,
        "template admin": 200,
        "workspace owner": 403,
        "member": 404,
        "auditor": 404,
    }
    for relation, status in expected.items():
        answer = callers[relation].get(f"workspacebuilds/{number}/state")
        assert answer.status_code == status, relation
        if status == 200:
            assert (answer.raw, answer.headers["Content-Type"]) == (state, "application/json")
    assert callers["owner"].get(f"workspacebuilds/{workspace.latest_build_id}/state").raw == b""


def test_state_that_a_build_stored(build, callers):
    """BLD-18, BLD-31: also by a build that failed."""
    number = end(build(), state=b'{"serial": 7}', error="half of it")
    assert callers["owner"].get(f"workspacebuilds/{number}/state").raw == b'{"serial": 7}'
    after = end(build("delete"))
    assert callers["owner"].get(f"workspacebuilds/{after}/state").raw == b'{"serial": 7}'


def test_bad_versions(build, owner, organization, template):
    """BLD-07, BLD-23."""
    other = make_template(user=owner, organization=organization)
    elsewhere = make_template(user=owner, organization=make_organization())
    loose = make_version(user=owner, organization=organization)
    for version in (uuid.uuid4(), other.active_version_id, elsewhere.active_version_id, loose.pk, "x"):
        answer = build(template_version_id=str(version))
        assert (answer.status_code, fields_of(answer)) == (400, ["template_version_id"])


@pytest.mark.parametrize("state", ["pending", "running", "canceling", "failed", "canceled"])
def test_version_that_was_not_imported(build, owner, organization, template, state):
    version = make_version(user=owner, organization=organization, template=template, finished=False)
    in_state(state, version)
    answer = build(template_version_id=str(version.pk))
    assert answer.status_code == (400 if state in {"failed", "canceled"} else 406)


@pytest.mark.parametrize("version", ["ABSENT", NIL, None])
def test_build_without_a_version_keeps_that_of_the_latest_build(
    build, api, owner, organization, template, version, workspace
):
    """BLD-37, BLD-38."""
    newer = make_version(user=owner, organization=organization, template=template)
    Template.objects.update(active_version=newer)
    assert api.get(f"workspaces/{workspace.pk}").body["outdated"] is True
    answer = build(template_version_id=version)
    assert answer.body["template_version_id"] == str(template.active_version_id)
    end(answer)
    assert build(template_version_id=str(newer.pk)).body["template_version_name"] == newer.name
    assert api.get(f"workspaces/{workspace.pk}").body["outdated"] is False


def test_existing_workspaces_need_no_access_to_the_template(build):
    TemplateAccess.objects.all().delete()
    assert build("stop").status_code == 201


def test_unknown_keys_are_ignored(build):
    assert build(dry_run=True, log_level="debug", reason="cli", template_version_preset_id=3).status_code == 201


# ---------------------------------------------------------------------- parameters
def test_parameters_are_kept(api, owner, ada, organization):
    """BLD-20, PAR-09, PAR-10, PAR-11, PAR-12."""
    template = with_parameters(
        owner,
        organization,
        base.RichParameter("size", mutable=True, default_value="s"),
        base.RichParameter("region", mutable=False),
    )
    from templates_app.workspaces.services.values import NamedValue

    given = (NamedValue("size", "m"), NamedValue("region", "eu"))
    workspace = make_workspace(user=ada, template=template, rich_values=given)

    def built(*values, status=201, **body):
        sent = [{"name": name, "value": value} for name, value in values]
        answer = api.post(
            f"workspaces/{workspace.pk}/builds", {"transition": "start", "rich_parameter_values": sent} | body
        )
        assert answer.status_code == status, answer.raw
        if status != 201:
            return fields_of(answer)
        end(answer)
        rows = api.get(f"workspacebuilds/{answer.body['id']}/parameters").body
        return {row["name"]: row["value"] for row in rows}

    assert built(transition="stop") == {"size": "m", "region": "eu"}
    assert built(("size", "l")) == {"size": "l", "region": "eu"}
    assert built(("region", "eu")) == {"size": "l", "region": "eu"}
    assert built(("region", "us"), status=400) == ["rich_parameter_values.region"]
    plan = base.PlanResult(
        rich_parameters=(base.RichParameter("region", mutable=False), base.RichParameter("zone", mutable=False))
    )
    newer = make_version(
        user=owner, organization=organization, template=template, result=base.ImportResult(start=plan, stop=plan)
    )
    version = {"template_version_id": str(newer.pk)}
    assert built(status=400, **version) == ["rich_parameter_values.zone"]
    assert built(("zone", "a"), ("size", "x"), status=400, **version) == ["rich_parameter_values.size"]
    assert built(("zone", "a"), **version) == {"region": "eu", "zone": "a"}
    assert built(("zone", "b"), status=400) == ["rich_parameter_values.zone"]


# ---------------------------------------------------------------------- reading
def test_build_by_number(api, workspace):
    """BLD-02."""
    found = api.get("users/me/workspace/dev/builds/1")
    assert (found.status_code, found.body["id"]) == (200, str(workspace.latest_build_id))
    for number, status in (
        ("buildNumber", 400),
        ("2147483648", 400),
        ("1.5", 400),
        ("200", 404),
        ("-1", 404),
        ("0", 404),
    ):
        assert api.get(f"users/me/workspace/dev/builds/{number}").status_code == status, number
    assert api.get("users/me/workspace/nothing/builds/1").status_code == 404
    assert api.get("users/nobody/workspace/dev/builds/1").status_code == 400


def test_list_of_builds(build, api, workspace):
    """BLD-03, BLD-05, BLD-06, BLD-34."""
    path = f"workspaces/{workspace.pk}/builds"
    numbers = lambda query="": [row["build_number"] for row in api.get(f"{path}?{query}").body]  # noqa: E731
    assert numbers() == [1]
    created = api.get(path).body[0]["created_at"]
    assert (numbers("since=2020-01-01T00:00:00Z"), numbers(f"since={created}")) == ([1], [])
    for _ in range(4):
        end(build())
    assert numbers("limit=3&offset=1") == [4, 3, 2]
    assert numbers("limit=0") == numbers() == [5, 4, 3, 2, 1]
    seen, cursor = [], ""
    while page := api.get(f"{path}?limit=2{cursor}").body:
        seen += [row["build_number"] for row in page]
        cursor = f"&after_id={page[-1]['id']}"
    assert seen == [5, 4, 3, 2, 1]
    assert api.get(f"{path}?after_id={uuid.uuid4()}").status_code == 400
    for query, field in (
        ("since=x", "since"),
        ("limit=-1", "limit"),
        ("offset=-1", "offset"),
        ("after_id=x", "after_id"),
    ):
        answer = api.get(f"{path}?{query}")
        assert (answer.status_code, fields_of(answer)) == (400, [field])
    end(build("delete"))
    assert numbers() == [6, 5, 4, 3, 2, 1]


def test_foreign_build_is_no_cursor(api, ada, template, workspace):
    other = make_workspace(user=ada, template=template)
    assert api.get(f"workspaces/{workspace.pk}/builds?after_id={other.latest_build_id}").status_code == 400


def test_deleted_initiator_is_shown(build, api, callers, owner):
    """BLD-04."""
    number = end(build("stop", callers["owner"]))
    type(owner).objects.filter(pk=owner.pk).update(deleted=True)
    assert api.get(f"workspacebuilds/{number}").body["initiator_name"] == "owner"


def test_resources_of_a_build(api, ada, template):
    """WE16: 400 while the build runs."""
    workspace = make_workspace(user=ada, template=template, finished=False)
    path = f"workspacebuilds/{workspace.latest_build_id}/resources"
    assert api.get(path).status_code == 400
    finish(workspace.latest_build.job, result=BuildResult((Resource("b", "vm"), Resource("a", "vm", daily_cost=3))))
    assert [(row["name"], row["daily_cost"]) for row in api.get(path).body] == [("a", 3), ("b", 0)]
    assert api.get(f"workspacebuilds/{workspace.latest_build_id}").body["daily_cost"] == 3


def test_log_of_a_build(api, workspace):
    job = workspace.latest_build.job
    for number in range(3):
        writing.note(job, LogLevel.INFO, f"line {number}")
    path = f"workspacebuilds/{workspace.latest_build_id}/logs"
    listed = api.get(path).body
    assert [line["output"] for line in listed[-3:]] == ["line 0", "line 1", "line 2"]
    assert api.get(f"{path}?after={listed[-2]['id']}").body == listed[-1:]
    assert api.get(f"{path}?after=x").status_code == 400
    assert api.get(f"{path}?before=1&follow").status_code == 400


# ---------------------------------------------------------------------- canceling
def test_cancel_a_waiting_build(build, api):
    """BLD-28: it never runs."""
    number = build().body["id"]
    path = f"workspacebuilds/{number}/cancel"
    assert api.patch(path).status_code == 200
    assert api.get(f"workspacebuilds/{number}").body["status"] == "canceled"
    assert api.patch(path).status_code == 400
    assert not ProvisionerJob.objects.waiting().exists()


def test_cancel_a_running_build(build, api):
    """BLD-14, BLD-28."""
    number = build().body["id"]
    lease = claim()
    assert api.get(f"workspacebuilds/{number}").body["status"] == "starting"
    assert api.patch(f"workspacebuilds/{number}/cancel").status_code == 200
    found = api.get(f"workspacebuilds/{number}").body
    assert (found["status"], found["job"].get("error", "")) == ("canceling", "")
    assert build("stop").status_code == 409
    jobs.finish_canceled(lease)
    assert api.get(f"workspacebuilds/{number}").body["status"] == "canceled"
    assert api.patch(f"workspacebuilds/{number}/cancel").status_code == 400


def test_who_may_cancel(build, callers):
    """BLD-15, BLD-29: permission is checked before the state of the build."""
    number = build().body["id"]
    path = f"workspacebuilds/{number}/cancel"
    Template.objects.update(allow_user_cancel_workspace_jobs=False)
    for relation in ("workspace owner", "organization admin", "template admin"):
        assert callers[relation].patch(path).status_code == 403, relation
    for relation in ("member", "auditor", "user admin", "stranger"):
        assert callers[relation].patch(path).status_code == 404, relation
    assert callers["owner"].patch(path).status_code == 200
    assert callers["workspace owner"].patch(path).status_code == 403
    assert callers["owner"].patch(path).status_code == 400


# ---------------------------------------------------------------------- outcomes
def test_life_of_a_workspace(build, api, ada, template):
    """BLD-19, BLD-36."""
    workspace = make_workspace(user=ada, template=template, name="life", finished=False)
    status = lambda: api.get(f"workspaces/{workspace.pk}?include_deleted=1").body["latest_build"]["status"]  # noqa: E731
    assert status() == "pending"
    jobs.complete(claim(), BuildResult())
    assert status() == "running"
    end(build("stop", workspace=workspace))
    assert status() == "stopped"
    number = build(workspace=workspace).body["id"]
    api.patch(f"workspacebuilds/{number}/cancel")
    assert status() == "canceled"
    build("delete", workspace=workspace)
    lease = claim()
    assert status() == "deleting"
    jobs.complete(lease, BuildResult())
    assert status() == "deleted"


def test_failed_build_shows_its_error(build, api):
    """BLD-30."""
    number = end(build(), error="the plan failed")
    found = api.get(f"workspacebuilds/{number}").body
    assert (found["status"], found["job"]["status"], found["job"]["error"]) == ("failed", "failed", "the plan failed")
    assert found["resources"] == []


def test_daemon_that_dies_during_an_apply(build, api):
    """BLD-40: no other build starts while the daemon can still report what it changed."""
    number = build().body["id"]
    claim(lease_seconds=0.001)
    assert build("stop").status_code == 409
    jobs.expire()
    assert api.get(f"workspacebuilds/{number}").body["status"] == "failed"
    assert build("stop").status_code == 409
    past = datetime.now(UTC) - timedelta(seconds=jobs.SETTLE_SECONDS + 1)
    ProvisionerJob.objects.filter(workspace_build=number).update(completed_at=past)
    assert build("stop").status_code == 201
