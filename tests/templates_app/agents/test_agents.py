"""Agents as users see them: by id, with the status of their connection."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from provisioning.models import WorkspaceAgent, agent_status, gone_at
from templates_app.workspaces.serializers.answers import BuildAgentSerializer
from tests.api import ApiClient
from tests.contract.described import DescribedApiClient
from tests.factories import finish, make_job, make_template, make_user, make_version
from tests.templates_app.test_reads import compact, ordered
from tests.world import import_result

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_agent_by_id(ada, agent, workspace):
    """AGT-04: with its apps, as in the workspace."""
    api = DescribedApiClient(ada)
    answer = api.get(f"workspaceagents/{agent.pk}")
    assert (answer.status_code, answer.body["name"], answer.body["directory"]) == (200, "main", "/home/ada")
    assert [app["slug"] for app in answer.body["apps"]] == ["code", "shell"]
    assert answer.body == api.get(f"workspaces/{workspace.pk}").body["latest_build"]["resources"][0]["agents"][0]


def test_compiled_read_equals_the_serializer(ada, agent, django_assert_num_queries):
    from coderproj.base.json_text import to_json

    api = ApiClient(ada)
    now = datetime.now(UTC)
    for times in (
        {},
        {"first_connected_at": now, "last_connected_at": now + timedelta(hours=1)},
        {"first_connected_at": now, "last_connected_at": now - timedelta(seconds=9)},
        {"first_connected_at": now, "last_connected_at": now, "disconnected_at": now + timedelta(seconds=1)},
        {"first_connected_at": now, "last_connected_at": now + timedelta(hours=1), "disconnected_at": now},
    ):
        WorkspaceAgent.objects.update(**times)
        row = WorkspaceAgent.objects.prefetch_related("apps").get()
        expected = ordered(to_json(BuildAgentSerializer(row).data))
        for _ in range(2):  # on the regular path and on the fast one
            answer = api.get(f"workspaceagents/{agent.pk}")
            assert ordered(answer.raw) == expected
            assert compact(answer.raw)
        with django_assert_num_queries(1):
            api.get(f"workspaceagents/{agent.pk}")


def test_troubleshooting_address(ada, agent, settings):
    """AGT-05: the deployment's is set when the process starts, so only the agent's is tested here."""
    WorkspaceAgent.objects.update(troubleshooting_url="https://help.example")
    assert ApiClient(ada).get(f"workspaceagents/{agent.pk}").body["troubleshooting_url"] == "https://help.example"


def test_who_may_read_an_agent(agent, owner, organization):
    """AGT-38: an unknown and a hidden agent give the same answer."""
    admin = make_user(organizations=(organization,), site_roles=("template-admin",))
    for user in (owner, admin):
        assert ApiClient(user).get(f"workspaceagents/{agent.pk}").status_code == 200
    member = ApiClient(make_user(organizations=(organization,)))
    for path in ("", "/connection", "/pty", "/listening-ports"):
        hidden = member.get(f"workspaceagents/{agent.pk}{path}")
        unknown = member.get(f"workspaceagents/{uuid.uuid4()}{path}")
        assert (hidden.status_code, hidden.body) == (unknown.status_code, unknown.body) == (404, unknown.body)


def test_ids(ada, agent):
    """AGT-16."""
    assert ApiClient(ada).get("workspaceagents/nonsense").status_code == 400
    assert ApiClient(ada).get(f"workspaceagents/{uuid.uuid4()}").status_code == 404
    assert ApiClient().get(f"workspaceagents/{agent.pk}").status_code == 401


def test_agents_of_imports_and_dry_runs(ada, owner, organization, template):
    """AGT-39: 400 for those who may read them, else as unknown ones."""
    version = make_version(user=owner, organization=organization, template=template, result=import_result(1))
    job = make_job(user=owner, organization=organization, job_input={"template_version_id": str(version.pk)})
    finish(job, result=import_result(1).start)
    make_template(user=owner, organization=organization)
    for agent in WorkspaceAgent.objects.filter(resource__job__in=(version.job_id, job.pk)):
        for path in (f"workspaceagents/{agent.pk}", f"workspaceagents/{agent.pk}/connection"):
            answer = ApiClient(owner).get(path)
            assert (answer.status_code, "never connects" in answer.body["message"]) == (400, True)
            assert ApiClient(ada).get(path).status_code == 404


def test_connection(ada, agent):
    """WE23: the map is an object, never null."""
    answer = DescribedApiClient(ada).get(f"workspaceagents/{agent.pk}/connection")
    assert (answer.status_code, answer.body) == (200, {"derp_map": {"Regions": {}}})


def test_what_needs_a_tunnel(ada, agent):
    """Decision 14: an honest 400."""
    for answer in (
        DescribedApiClient(ada).get(f"workspaceagents/{agent.pk}/pty"),
        DescribedApiClient(ada).get(f"workspaceagents/{agent.pk}/listening-ports"),
    ):
        assert answer.status_code == 400
        assert "no tunnel" in answer.body["detail"]


def test_every_read_is_registered():
    from templates_app.agents import reads

    declared = [value for value in vars(reads).values() if isinstance(value, reads.Read)]
    assert declared == reads.READS


# ---------------------------------------------------------------------- status
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("fields", "status", "gone"),
    [
        ({}, "connecting", None),
        ({"connection_timeout_seconds": 0, "created_at": NOW - timedelta(days=9)}, "connecting", None),
        ({"connection_timeout_seconds": 10, "created_at": NOW - 10 * SECOND}, "connecting", None),
        ({"connection_timeout_seconds": 10, "created_at": NOW - 11 * SECOND}, "timeout", None),
        ({"connection_timeout_seconds": 10, "created_at": NOW - 99 * SECOND, "seen": 0}, "connected", None),
        ({"seen": 6.0}, "connected", None),
        ({"seen": 6.1}, "disconnected", "last_connected_at"),
        ({"seen": 1, "disconnected": 0.5}, "disconnected", "disconnected_at"),
        ({"seen": 1, "disconnected": 2}, "connected", "disconnected_at"),
        ({"seen": 9, "disconnected": 8}, "disconnected", "disconnected_at"),
        ({"seen": 9, "disconnected": 20}, "disconnected", "last_connected_at"),
    ],
)
def test_status(fields, status, gone):
    """AGT-26, AGT-06: the table of §1.6 at its boundaries. A disconnected agent always says since when."""
    agent = row_of(fields)
    assert agent_status(agent, NOW) == status
    assert gone_at(agent, NOW) == (getattr(agent, gone) if gone else None)


def row_of(fields):
    fields = {"created_at": NOW, "connection_timeout_seconds": 0, **fields}
    seen, disconnected = fields.pop("seen", None), fields.pop("disconnected", None)
    agent = WorkspaceAgent(**fields)
    if seen is not None:
        agent.first_connected_at = NOW - timedelta(days=1)
        agent.last_connected_at = NOW - seen * SECOND
    if disconnected is not None:
        agent.disconnected_at = NOW - disconnected * SECOND
    return agent


def test_status_in_lists_is_the_same(ada, agent):
    """A silent agent in all answers: its time of disconnection is when it was last seen."""
    last = datetime.now(UTC) - timedelta(seconds=30)
    WorkspaceAgent.objects.update(first_connected_at=last, last_connected_at=last)
    body = ApiClient(ada).get("workspaces?q=has-agent:disconnected").body["workspaces"][0]
    shown = body["latest_build"]["resources"][0]["agents"][0]
    assert shown["status"] == "disconnected"
    assert shown["disconnected_at"] == shown["last_connected_at"]
