"""What agents read and report about themselves."""

import uuid

import pytest

from coderproj.identity import git_keys
from coderproj.identity.actor import Actor
from provisioning.models import WorkspaceAgent, WorkspaceApp
from tests.api import ApiClient, fields_of
from tests.factories import make_workspace
from tests.templates_app.agents.callers import AgentClient, with_token

pytestmark = pytest.mark.django_db


def shown(user, agent):
    """Return the agent as users see it."""
    return ApiClient(user).get(f"workspaceagents/{agent.pk}").body


# ---------------------------------------------------------------------- metadata
def test_manifest(program, agent):
    """AGT-37, §1.8."""
    body = program.get("workspaceagents/me/metadata").body
    apps = body.pop("apps")
    assert body == {
        "git_auth_configs": 0,
        "vscode_port_proxy_uri": "",
        "derpmap": {"Regions": {}},
        "environment_variables": {"EDITOR": "vi"},
        "startup_script": "make up",
        "startup_script_timeout": 300_000_000_000,
        "directory": "/home/ada",
        "motd_file": "/etc/motd",
        "shutdown_script": "make down",
        "shutdown_script_timeout": 60_000_000_000,
    }
    assert [(app["slug"], app["health"]) for app in apps] == [("code", "initializing"), ("shell", "disabled")]
    assert apps[0]["healthcheck"] == {"url": "http://localhost:1/healthz", "interval": 5, "threshold": 6}


def test_manifest_of_a_bare_agent(program, agent):
    WorkspaceAgent.objects.update(
        environment_variables={}, startup_script="", directory="", startup_script_timeout_seconds=2**62
    )
    body = program.get("workspaceagents/me/metadata").body
    assert (body["environment_variables"], body["startup_script"], body["directory"]) == (None, "", "")
    assert body["startup_script_timeout"] == 2**63 - 1


# ---------------------------------------------------------------------- version
@pytest.mark.parametrize("version", ["v1.2.3", "v1.2.3-x+y", "v0.15.3-devel+abc123", "v1", "v1.2"])
def test_version(program, ada, agent, version):
    """AGT-34."""
    answer = program.post("workspaceagents/me/version", {"version": version})
    assert (answer.status_code, answer.raw) == (200, b"null\n")
    assert shown(ada, agent)["version"] == version


@pytest.mark.parametrize("version", ["1.2.3", "", "v01.2.3", "vx", "v1.2.3-", "v1.2.3\n", f"v1.2.{'3' * 60}", None, 1])
def test_bad_version(program, agent, version):
    answer = program.post("workspaceagents/me/version", {"version": version})
    assert (answer.status_code, fields_of(answer)) == (400, ["version"])
    assert WorkspaceAgent.objects.get().version == ""


# ---------------------------------------------------------------------- lifecycle
def test_lifecycle(program, ada, agent):
    """AGT-13."""
    assert shown(ada, agent)["lifecycle_state"] == "created"
    states = ("starting", "start_timeout", "start_error", "ready")
    for state in (*states, "shutting_down", "shutdown_timeout", "shutdown_error", "starting", "off"):
        answer = program.post("workspaceagents/me/report-lifecycle", {"state": state})
        assert (answer.status_code, answer.raw) == (204, b"")
        assert shown(ada, agent)["lifecycle_state"] == state


@pytest.mark.parametrize("state", ["unknown", "", None, 1, ["ready"]])
def test_bad_lifecycle(program, agent, state):
    """AGT-13."""
    answer = program.post("workspaceagents/me/report-lifecycle", {"state": state})
    assert (answer.status_code, fields_of(answer)) == (400, ["state"])


@pytest.mark.parametrize(
    ("reported", "stored"),
    [("created", "ready"), ("start_timeout", "ready"), ("start_error", "ready"), ("starting", "starting")],
)
def test_a_ready_agent_steps_back_only_to_starting(program, agent, reported, stored):
    """W50: a report that was late is accepted and ignored."""
    WorkspaceAgent.objects.update(lifecycle_state="ready")
    assert program.post("workspaceagents/me/report-lifecycle", {"state": reported}).status_code == 204
    assert WorkspaceAgent.objects.get().lifecycle_state == stored


@pytest.mark.parametrize(
    ("before", "reported", "stored"),
    [
        ("shutting_down", "ready", "shutting_down"),
        ("shutting_down", "start_error", "shutting_down"),
        ("shutting_down", "off", "off"),
        ("shutdown_timeout", "shutting_down", "shutdown_timeout"),
        ("shutdown_timeout", "shutdown_error", "shutdown_error"),
        ("off", "shutting_down", "off"),
        ("off", "ready", "off"),
        ("off", "starting", "starting"),
        ("starting", "shutting_down", "shutting_down"),
    ],
)
def test_an_agent_that_stops_steps_back_only_to_starting(program, agent, before, reported, stored):
    WorkspaceAgent.objects.update(lifecycle_state=before)
    assert program.post("workspaceagents/me/report-lifecycle", {"state": reported}).status_code == 204
    assert WorkspaceAgent.objects.get().lifecycle_state == stored


# ---------------------------------------------------------------------- health of apps
def health(program, healths):
    return program.post("workspaceagents/me/app-health", {"Healths": healths})


def test_health(program, agent, ada, workspace):
    """AGT-12: every answer shows it."""
    app = str(WorkspaceApp.objects.get(slug="code").pk)
    for word in ("healthy", "unhealthy", "initializing"):
        answer = health(program, {app: word})
        assert (answer.status_code, answer.raw) == (200, b"null\n")
        apps = program.get("workspaceagents/me/metadata").body["apps"]
        in_agent = shown(ada, agent)["apps"]
        build = ApiClient(ada).get(f"workspaces/{workspace.pk}").body["latest_build"]
        in_workspace = build["resources"][0]["agents"][0]["apps"]
        in_resources = ApiClient(ada).get(f"workspacebuilds/{build['id']}/resources").body[0]["agents"][0]["apps"]
        assert apps == in_agent == in_workspace == in_resources
        assert apps[0]["health"] == word


def test_keys_match_in_any_case(program, agent):
    app = WorkspaceApp.objects.get(slug="code")
    assert (
        program.post("workspaceagents/me/app-health", {"healths": {str(app.pk).upper(): "healthy"}}).status_code == 200
    )
    app.refresh_from_db()
    assert app.health == "healthy"


@pytest.mark.parametrize("healths", [None, {}, "x", [], {"nonsense": "healthy"}])
def test_healths_of_nothing(program, agent, healths):
    """AGT-12."""
    answer = health(program, healths)
    assert answer.status_code == 400
    assert fields_of(answer)[0].startswith("healths")
    assert program.post("workspaceagents/me/app-health", {}).status_code == 400


@pytest.mark.parametrize("word", ["disabled", "fine", "", None, 1])
def test_bad_words(program, agent, word):
    """AGT-12, AGT-36: one bad word, and nothing is written. The error names the app."""
    app = WorkspaceApp.objects.get(slug="code")
    answer = health(program, {str(app.pk): word})
    assert (answer.status_code, fields_of(answer)) == (400, [f"healths.{app.pk}"])
    app.refresh_from_db()
    assert app.health == "initializing"


@pytest.mark.parametrize("other", ["without a check", "of another agent", "unknown"])
def test_apps_that_cannot_be_healthy(program, agent, ada, template, built, other):
    """AGT-35, AGT-36: 404, and nothing is written."""
    mine = WorkspaceApp.objects.get(slug="code")
    match other:
        case "without a check":
            app_id = WorkspaceApp.objects.get(slug="shell").pk
        case "of another agent":
            second = make_workspace(user=ada, template=template, result=with_token(built, str(uuid.uuid4())))
            apps = WorkspaceApp.objects.filter(agent__resource__job=second.latest_build.job_id)
            app_id = apps.get(slug="code").pk
        case _:
            app_id = uuid.uuid4()
    answer = health(program, {str(mine.pk): "healthy", str(app_id): "healthy"})
    assert answer.status_code == 404
    assert str(app_id) in answer.body["message"]
    assert set(WorkspaceApp.objects.values_list("health", flat=True)) == {"initializing", "disabled"}


def test_reports_are_announced_only_if_something_changed(program, agent, announced):
    """W51."""
    app = str(WorkspaceApp.objects.get(slug="code").pk)
    for _ in range(3):
        assert health(program, {app: "healthy"}).status_code == 200
        assert program.post("workspaceagents/me/report-lifecycle", {"state": "starting"}).status_code == 204
    assert len(announced) == 2


@pytest.fixture
def announced(monkeypatch, workspace):
    """The workspaces that were announced."""
    from templates_app.agents.services import agents

    found = []
    monkeypatch.setattr(agents, "announce", found.append)
    yield found
    assert set(found) <= {workspace.pk}


# ---------------------------------------------------------------------- git
def test_git_key(program, ada, agent):
    """AGT-18: the key pair of the owner, the same each time."""
    first = program.get("workspaceagents/me/gitsshkey").body
    assert first == program.get("workspaceagents/me/gitsshkey").body
    assert first["public_key"] == git_keys.git_ssh_key(Actor.of(ada), ada).public_key
    assert first["private_key"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert "private_key" not in ApiClient(ada).get("users/me/gitsshkey").body


def test_git_key_of_another_secret(program, ada, agent, settings):
    git_keys.git_ssh_key(Actor.of(ada), ada)
    settings.SECRET_KEY = "another secret key of the deployment"
    answer = program.get("workspaceagents/me/gitsshkey")
    assert answer.status_code == 500
    assert "generate a new one" in answer.body["message"]


def test_git_providers(program, agent):
    """AGT-19."""
    assert fields_of(program.get("workspaceagents/me/gitauth")) == ["url"]
    for query in ("url=https://github.com/a/b", "url=x&listen"):
        assert program.get(f"workspaceagents/me/gitauth?{query}").status_code == 404


# ---------------------------------------------------------------------- order and bounds
def test_calls_of_a_real_agent_in_its_order(token, agent, ada):
    """§5B.2: statuses, and nothing but what the agent decodes."""
    program = AgentClient(token)
    assert program.post("workspaceagents/me/version", {"version": "v0.15.3"}).status_code == 200
    assert program.get("workspaceagents/me/metadata").body["derpmap"] is not None
    stats = program.post("workspaceagents/me/report-stats", dict.fromkeys(ZEROS, 0) | {"conns_by_proto": None})
    assert (stats.status_code, stats.body) == (200, {"report_interval": 600_000_000_000})
    assert program.post("workspaceagents/me/report-lifecycle", {"state": "ready"}).status_code == 204
    app = str(WorkspaceApp.objects.get(slug="code").pk)
    assert health(program, {app: "healthy"}).status_code == 200
    body = shown(ada, agent)
    assert (body["version"], body["lifecycle_state"], body["status"]) == ("v0.15.3", "ready", "connecting")


ZEROS = ("num_comms", "rx_packets", "rx_bytes", "tx_packets", "tx_bytes")


@pytest.mark.parametrize("path", ["version", "app-health", "report-lifecycle", "report-stats"])
@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"null", b'"x"', b"[" * 100_000])
def test_bodies_that_are_no_objects(program, agent, path, raw):
    answer = program.call("POST", f"workspaceagents/me/{path}", raw=raw)
    assert answer.status_code in ({200, 400} if path == "report-stats" and raw == b"" else {400})
