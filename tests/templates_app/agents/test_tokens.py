"""The tokens of agents: who has one, how long it is valid, how it is stored."""

import uuid
from importlib import import_module

import pytest
from django.db import connection

from coderproj.identity import tokens
from coderproj.identity.actor import Actor
from provisioning.engine.base import Agent, BuildResult, Resource
from provisioning.models import WorkspaceAgent, hash_of_token
from provisioning.queue import jobs
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.services import builds
from tests.api import ApiClient
from tests.factories import claim, make_user, make_version, make_workspace
from tests.templates_app.agents.callers import AgentClient
from tests.templates_app.workspaces.lives import build, finish_build
from tests.world import import_result

pytestmark = pytest.mark.django_db

READS = ("metadata", "gitsshkey")
WRITES = {
    "version": {"version": "v1.2.3"},
    "app-health": {"Healths": {}},
    "report-lifecycle": {"state": "ready"},
    "report-stats": {"rx_bytes": 1},
}


def statuses(program):
    """Return the statuses of all calls about oneself."""
    answers = [program.get(f"workspaceagents/me/{path}") for path in (*READS, "gitauth?url=x")]
    answers += [program.post(f"workspaceagents/me/{path}", body) for path, body in WRITES.items()]
    return {answer.status_code for answer in answers}


def test_header_and_cookie(agent, token):
    """AGT-15."""
    assert AgentClient(token).get("workspaceagents/me/metadata").status_code == 200
    assert AgentClient(token, cookie=True).get("workspaceagents/me/metadata").status_code == 200
    assert AgentClient(token.upper()).get("workspaceagents/me/metadata").status_code == 200
    query = ApiClient().get(f"workspaceagents/me/metadata?coder_session_token={token}")
    assert query.status_code == 401


@pytest.mark.parametrize(
    ("wrong", "detail"),
    [
        ("", "missing"),
        ("nonsense", "UUID"),
        (f"{'a' * 10}-{'b' * 22}", "UUID"),
        ("9b2f0a52-4b0e-4d39-9d2e-0d4f6f0f7a11", "No agent"),
        ("00000000-0000-0000-0000-000000000000", "No agent"),
    ],
)
def test_tokens_that_are_none(agent, wrong, detail):
    """AGT-29: missing, not a UUID, unknown; three messages."""
    answer = AgentClient(wrong).get("workspaceagents/me/metadata")
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Coder-Session-Token")
    assert detail in answer.body["detail"]
    assert statuses(AgentClient(wrong)) == {401}


def test_users_are_no_agents_and_agents_no_users(ada, owner, workspace, program, token):
    """AGT-29."""
    for user in (ada, owner):
        assert ApiClient(user).get("workspaceagents/me/metadata").status_code == 401
    for path in ("users/me", "workspaces", f"workspaces/{workspace.pk}"):
        assert program.get(path).status_code == 401
    assert AgentClient(token, cookie=True).get("users/me").status_code == 401


def test_only_a_hash_is_stored(agent, token):
    """W46."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT agent::text FROM provisioning_workspaceagent agent")
        text = cursor.fetchone()[0]
    assert token not in text
    assert token.replace("-", "") not in text
    assert bytes(agent.hashed_token) == hash_of_token(uuid.UUID(token))


def test_migration_hashes_the_tokens_of_builds(agent, token, template, owner, organization):
    """Those of imports are dropped: they were made up."""
    make_version(user=owner, organization=organization, template=template, result=import_result(1))
    migration = import_module("provisioning.migrations.0014_hashed_agent_tokens")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE provisioning_workspaceagent ADD auth_token uuid DEFAULT gen_random_uuid()")
        cursor.execute("UPDATE provisioning_workspaceagent SET hashed_token = NULL")
        cursor.execute("UPDATE provisioning_workspaceagent SET auth_token = %s WHERE id = %s", [token, agent.pk])
        cursor.execute(migration.HASH_SQL)
    agent.refresh_from_db()
    assert bytes(agent.hashed_token) == hash_of_token(uuid.UUID(token))
    assert set(WorkspaceAgent.objects.exclude(pk=agent.pk).values_list("hashed_token", flat=True)) == {None}


def test_agents_of_imports_and_without_a_token_have_none(ada, template):
    workspace = make_workspace(
        user=ada, template=template, result=BuildResult((Resource("vm", "vm", agents=(Agent(name="main"),)),))
    )
    assert WorkspaceAgent.objects.get(resource__job=workspace.latest_build.job_id).hashed_token is None


@pytest.mark.parametrize("transition", ["start", "stop"])
def test_token_lives_until_the_next_build_has_ended(ada, workspace, program, built, transition):
    """Decision 3."""
    build(ada, workspace, transition)
    assert statuses(program) == {200, 204, 400, 404}
    lease = claim()
    assert program.get("workspaceagents/me/metadata").status_code == 200
    jobs.complete(lease, BuildResult())
    assert statuses(program) == {401}


def test_token_that_the_next_start_keeps(ada, workspace, program, built, agent):
    """Terraform keeps the token of a resource that stays; the new build's agent has it."""
    build(ada, workspace, "start")
    finish_build(result=built)
    assert program.post("workspaceagents/me/version", {"version": "v2.0.0"}).status_code == 200
    versions = dict(WorkspaceAgent.objects.values_list("pk", "version"))
    assert versions.pop(agent.pk) == ""
    assert list(versions.values()) == ["v2.0.0"]


@pytest.mark.parametrize("end", ["stopped", "failed", "deleted", "suspended owner", "deleted owner", "agent of a stop"])
def test_tokens_that_ended(ada, workspace, program, built, end):
    """AGT-28."""
    match end:
        case "stopped":
            build(ada, workspace, "stop")
            finish_build()
        case "failed":
            build(ada, workspace, "start")
            finish_build(error="the apply failed")
        case "deleted":
            build(ada, workspace, "delete")
            finish_build()
        case "suspended owner":
            type(ada).objects.filter(pk=ada.pk).update(status="suspended")
        case "deleted owner":
            type(ada).objects.filter(pk=ada.pk).update(deleted=True)
        case "agent of a stop":
            build(ada, workspace, "stop")
            finish_build(result=built)
    assert statuses(program) == {401}


def test_a_build_that_was_canceled_before_it_ran_ends_nothing(ada, workspace, program):
    """The workspace runs on unchanged, and so does its agent."""
    stop = build(ada, workspace, "stop")
    builds.cancel(Actor.of(ada), WorkspaceBuild.objects.get(pk=stop.pk))
    assert Workspace.objects.get().latest_build.status == "canceled"
    assert program.get("workspaceagents/me/metadata").status_code == 200


def test_authentication_takes_one_statement(program, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert program.get("workspaceagents/me/gitauth?url=https://example.com").status_code == 404


def test_limits_per_agent_and_per_address(settings, ada, template, workspace, program):
    """Wrong tokens are slowed by address, also on other paths; each agent has a limit of its own."""
    settings.RATELIMIT_API = 3
    other_token = str(uuid.uuid4())
    agents = (Agent(name="main", auth_token=other_token),)
    make_workspace(user=ada, template=template, result=BuildResult((Resource("vm", "vm", agents=agents),)))
    wrong = AgentClient(str(uuid.uuid4()))
    tried = [wrong.get(f"workspaceagents/me/{path}").status_code for path in (*READS, *READS)]
    assert tried == [401, 401, 401, 429]
    mine = [program.get("workspaceagents/me/metadata").status_code for _ in range(4)]
    assert mine == [200, 200, 200, 429]
    assert AgentClient(other_token).get("workspaceagents/me/metadata").status_code == 200


def test_pages_of_other_sites_cannot_use_the_cookie(agent, token):
    browser = AgentClient(token, cookie=True)
    body = {"state": "ready"}
    foreign = browser.post("workspaceagents/me/report-lifecycle", body, HTTP_ORIGIN="https://evil.example")
    assert foreign.status_code == 403
    assert browser.post("workspaceagents/me/report-lifecycle", body).status_code == 204


# ---------------------------------------------------------------------- instance identity
@pytest.mark.parametrize("cloud", ["azure", "aws", "google"])
@pytest.mark.parametrize("body", [None, {}, {"signature": "x", "document": "y"}, {"json_web_token": "z"}])
def test_identities_of_machines_are_refused(agent, cloud, body):
    """IDN-05: never a token."""
    calls = {
        "azure": lambda api: api.post("workspaceagents/azure-instance-identity", body),
        "aws": lambda api: api.post("workspaceagents/aws-instance-identity", body),
        "google": lambda api: api.post("workspaceagents/google-instance-identity", body),
    }
    answer = calls[cloud](ApiClient(accept=None))
    assert answer.status_code == 401
    assert set(answer.body) == {"message", "detail"}


def test_a_revoked_session_is_no_agent(ada, agent):
    _, token = tokens.issue(user=ada)
    make_user()
    assert AgentClient(token).get("workspaceagents/me/metadata").status_code == 401
