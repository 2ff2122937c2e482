"""Requests that the daemons' endpoints reject, and data that they do not store."""

import base64
import json
import uuid
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from provisioning.engine.base import MAX_STATE
from provisioning.models import JobStatus, ProvisionerDaemon, ProvisionerJob
from provisioning.protocol.wire import MAX_LARGE_BYTES
from provisioning.queue import jobs
from templates_app.workspaces import states
from tests.api import ApiClient
from tests.factories import make_job, make_organization, make_provisioner_key, make_user
from tests.vocabulary import echo, make_echo_template, queue_build, queue_import

pytestmark = pytest.mark.django_db

BASE = "provisionerdaemons"
LINE = {"source": "provisioner", "level": "info", "stage": "s", "output": "x", "created_at": 1.5}


class Daemon:
    """Sends requests like a daemon. ``take`` claims a job; later requests about it have its lease."""

    def __init__(self, key: str, name: str = "tester") -> None:
        self.api = ApiClient()
        self.extra = {"HTTP_CODER_PROVISIONER_KEY": key}
        self.job = ""
        self.id = self.post("register", {"name": name, "provisioners": ["echo"], "concurrency": 1}).body["id"]

    def post(self, path, body=None, **extra):
        return self.api.post(f"{BASE}/{path}", body, **self.extra | extra)

    def raw(self, path, raw):
        return self.api.call("POST", f"{BASE}/{path}", raw=raw, **self.extra)

    def take(self):
        claim = str(uuid.uuid4())
        job = self.post("acquire", {"daemon_id": self.id, "claim": claim, "lease_seconds": 30}).body["job"]
        self.job = f"jobs/{job['id']}"
        self.extra["HTTP_CODER_PROVISIONER_LEASE"] = claim
        return job

    def about(self, action, body=None):
        return self.post(f"{self.job}/{action}", body if body is not None else {})


@pytest.fixture
def daemon():
    return Daemon(make_provisioner_key())


def test_states_are_bounded_and_late_ones_are_stored(daemon):
    build = queue_build(make_echo_template())
    daemon.take()

    def store(content):
        return daemon.about("state", {"state": base64.b64encode(content).decode()})

    assert (store(b"x" * MAX_STATE).status_code, store(b"x" * (MAX_STATE + 1)).status_code) == (200, 400)
    assert daemon.about("state", {"state": "A" * MAX_LARGE_BYTES}).status_code == 413
    assert daemon.about("state", {"state": "no base64!"}).status_code == 400
    assert store(b'{"serial": 1}').body == {"late": False}
    daemon.about("fail", {"error": "no reason"})
    assert store(b'{"serial": 2}').body == {"late": True}
    assert states.state_of(build) == b'{"serial": 2}'


def test_only_the_last_report_lets_the_next_build_start(daemon):
    build = queue_build(make_echo_template())
    daemon.take()
    ProvisionerJob.objects.filter(pk=build.job_id).update(lease_expires_at=Now() - timedelta(seconds=1))
    jobs.expire()
    assert daemon.about("state", {"state": "e30=", "last": "yes"}).status_code == 400
    assert daemon.about("state", {"state": "e30="}).body == {"late": True}
    assert jobs.settles_at(ProvisionerJob.objects.get(pk=build.job_id)) is not None
    assert daemon.about("state", {"state": "e30=", "last": True}).body == {"late": True}
    assert jobs.settles_at(ProvisionerJob.objects.get(pk=build.job_id)) is None


CALLS = {
    "heartbeat": {"lease_seconds": 30},
    "logs": {"after": 0, "lines": [LINE]},
    "readme": {"readme": "x"},
    "schemas": {"schemas": []},
    "complete": {"planned": {}},
    "fail": {"error": "x"},
    "canceled": {},
    "release": {"reason": "x"},
    "state": {"state": "e30="},
}


@pytest.mark.parametrize("action", CALLS)
@pytest.mark.parametrize("lease", ["", "nonsense", "5d3ff4a2-7c2b-4a0e-9d55-0e3a6a6f1c11"])
def test_without_the_lease_nothing_is_written(daemon, action, lease):
    make_job()
    daemon.take()
    daemon.extra["HTTP_CODER_PROVISIONER_LEASE"] = lease
    before = ProvisionerJob.objects.values().get()
    answer = daemon.about(action, CALLS[action])
    assert (answer.status_code, bool(answer.body["message"])) == (409, True)
    assert ProvisionerJob.objects.values().get() == before
    assert daemon.api.get(f"{BASE}/{daemon.job}/archive", **daemon.extra).status_code == 409


@pytest.mark.parametrize("action", CALLS)
@pytest.mark.parametrize(
    "raw",
    [
        b"", b"[]", b"null", b"{", b"\xff", b'{"x": 1}', b'{"lease_seconds": NaN}', b"[" * 60_000,
        b'{"after": -1, "lines": []}', b'{"after": 1.5, "lines": []}', b'{"lease_seconds": 1e9}',
        b'{"lease_seconds": "30"}', b'{"schemas": [{"name": 1}]}', b'{"error": null}',
        b'{"planned": {}, "imported": null, "x": 1}',
        b'{"lines": [{"source": "x"}], "after": 0}', b'{"readme": "\\ud800"}',
    ],
)  # fmt: skip
def test_invalid_bodies_are_rejected(daemon, action, raw):
    make_job()
    daemon.take()
    if action == "canceled" and raw == b"":
        raw = b" "
    answer = daemon.raw(f"{daemon.job}/{action}", raw)
    assert answer.status_code == 400, answer.raw
    assert answer.body["message"] == "The request body is invalid."
    job = ProvisionerJob.objects.get()
    assert (job.status, job.log_count) == (JobStatus.RUNNING, 0)


def test_unknown_fields_are_rejected_at_any_depth(daemon):
    make_job()
    daemon.take()
    agent = {"name": "main", "environment": {"ANY": "name"}}
    body = {"planned": {"resources": [{"name": "a", "type": "b", "agents": [agent]}]}}
    agent["surprise"] = 1
    answer = daemon.about("complete", body)
    assert answer.status_code == 400
    assert answer.body["detail"] == "unknown field - at `$.planned.resources[0].agents[0].surprise`"
    del agent["surprise"]
    assert daemon.about("complete", body).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "", "provisioners": ["echo"], "concurrency": 1},
        {"name": "d" * 65, "provisioners": ["echo"], "concurrency": 1},
        {"name": "d", "provisioners": [], "concurrency": 1},
        {"name": "d", "provisioners": ["echo"], "concurrency": 0},
        {"name": "d", "provisioners": ["echo"], "concurrency": 1, "tags": {"gpu": "true"}},
        {"name": "d", "provisioners": ["echo"], "concurrency": 1, "id": "5d3ff4a2-7c2b-4a0e-9d55-0e3a6a6f1c11"},
    ],
)
def test_a_daemon_cannot_choose_its_tags_or_its_id(daemon, body):
    assert daemon.post("register", body).status_code == 400
    assert ProvisionerDaemon.objects.count() == 1


def test_large_bodies_are_rejected(daemon):
    make_job()
    daemon.take()
    assert daemon.raw(f"{daemon.job}/heartbeat", b" " * (64 * 1024 + 1)).status_code == 413
    large = daemon.about("logs", {"after": 0, "lines": [LINE | {"output": "x" * 3_000_000}]})
    assert (large.status_code, large.body["last"] > 90) == (200, True)
    assert daemon.about("logs", {"after": 0, "lines": [LINE] * 10_001}).status_code == 400


def test_control_characters_do_not_reach_the_database(daemon):
    version = queue_import(echo(), provisioner="echo")
    daemon.take()
    dirty = "a\x00\x1b[31m\x85b"
    assert daemon.about("logs", {"after": 0, "lines": [LINE | {"output": dirty, "stage": dirty}]}).status_code == 200
    assert daemon.about("readme", {"readme": dirty}).status_code == 200
    assert daemon.about("schemas", {"schemas": [{"name": "v", "description": dirty}]}).status_code == 200
    assert daemon.about("fail", {"error": dirty}).status_code == 200
    line = version.job.logs.get()
    version.refresh_from_db()
    version.job.refresh_from_db()
    assert {line.output, line.stage, version.readme, version.job.error} == {"a[31mb"}


@pytest.mark.promise("A12")
@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("logs", {"after": 7, "lines": [LINE]}),
        ("complete", {"planned": {"resources": [{"name": "x\x00", "type": "t"}]}}),
        ("complete", {"imported": {"start": {}, "stop": {}}}),
        ("schemas", {"schemas": [{"name": "v"}, {"name": "v"}]}),
    ],
)
def test_content_that_cannot_be_stored_is_422_and_changes_nothing(daemon, action, body):
    make_job()
    daemon.take()
    answer = daemon.about(action, body)
    assert answer.status_code == 422, answer.raw
    job = ProvisionerJob.objects.get()
    assert (job.status, job.log_count, job.resources.count()) == (JobStatus.RUNNING, 0, 0)


RESOURCE = {"name": "r", "type": "t"}
PARAMETER = {"name": "p"}


def planned(**fields):
    return {"planned": {"resources": [RESOURCE | fields]}}


def agent(**fields):
    return planned(agents=[{"name": "main"} | fields])


@pytest.mark.promise("A12")
@pytest.mark.parametrize(
    ("action", "body", "detail"),
    [
        ("complete", planned(daily_cost=10**20), "<= 9223372036854775807 - at `$.planned.resources[0].daily_cost`"),
        ("complete", planned(daily_cost=-(2**63) - 1), "Expected `int` >= -9223372036854775808"),
        ("complete", planned(name="n" * 65_537), "length <= 65536 - at `$.planned.resources[0].name`"),
        ("complete", planned(icon="i" * 262_145), "length <= 262144 - at `$.planned.resources[0].icon`"),
        ("complete", planned(metadata=[{"key": "k" * 65_537}]), "at `$.planned.resources[0].metadata[0].key`"),
        ("complete", agent(startup_script_timeout_seconds=2**63), "startup_script_timeout_seconds`"),
        ("complete", agent(connection_timeout_seconds=10**400), "connection_timeout_seconds`"),
        ("complete", agent(apps=[{"slug": "a", "healthcheck": {"interval": 2**63}}]), "healthcheck.interval`"),
        ("complete", {"planned": {"rich_parameters": [PARAMETER | {"validation_max": 2**63}]}}, "validation_max`"),
        ("complete", {"planned": {"resources": [RESOURCE] * 100_001}}, "length <= 100000 - at `$.planned.resources`"),
        ("schemas", {"schemas": [{"name": "v" * 65_537}]}, "length <= 65536 - at `$.schemas[0].name`"),
        ("schemas", {"schemas": [{"name": "v", "validation_error": "e" * 65_537}]}, "validation_error`"),
        ("readme", {"readme": "x" * (1024 * 1024 + 1)}, "at `$.readme`"),
        ("fail", {"error": "x" * 65_537}, "at `$.error`"),
        ("release", {"reason": "x" * 1001}, "at `$.reason`"),
        ("logs", {"after": 2**60, "lines": [LINE]}, "at `$.after`"),
        ("logs", {"after": 0, "lines": [LINE | {"created_at": 1e300}]}, "at `$.lines[0].created_at`"),
        ("logs", {"after": 0, "lines": [LINE | {"created_at": -1}]}, "at `$.lines[0].created_at`"),
    ],
)  # fmt: skip
def test_numbers_and_texts_have_bounds(daemon, action, body, detail):
    make_job()
    daemon.take()
    answer = daemon.about(action, body)
    assert answer.status_code == 400, answer.raw
    assert detail in answer.body["detail"]
    job = ProvisionerJob.objects.get()
    assert (job.status, job.log_count, job.resources.count()) == (JobStatus.RUNNING, 0, 0)


def test_the_largest_values_are_stored(daemon):
    make_job()
    daemon.take()
    apps = [{"slug": "s" * 65_536, "icon": "i" * 262_144, "healthcheck": {"interval": 2**63 - 1}}]
    agent = {"name": "a" * 65_536, "directory": "d" * 65_536, "apps": apps}
    body = planned(name="n" * 65_536, daily_cost=2**63 - 1, agents=[agent], metadata=[{"key": "k" * 65_536}])
    assert daemon.about("complete", body).status_code == 200
    assert ProvisionerJob.objects.get().resources.get().daily_cost == 2**63 - 1


@pytest.mark.parametrize("name", ["", "p" * 17, "a\x00b", "a b"])
def test_names_of_engines_have_bounds(daemon, name):
    answer = daemon.post("register", {"name": "d", "provisioners": ["echo", name], "concurrency": 1})
    assert answer.status_code == 400, answer.raw
    assert "at `$.provisioners[1]`" in answer.body["detail"]


def test_a_completion_must_have_exactly_one_result(daemon):
    make_job()
    daemon.take()
    assert daemon.about("complete", {}).status_code == 400
    assert daemon.about("complete", {"planned": {}, "imported": {"start": {}, "stop": {}}}).status_code == 400


def test_a_daemon_acts_only_for_itself(daemon):
    other = Daemon(make_provisioner_key(), "other")
    make_job()
    claim = {"claim": str(uuid.uuid4()), "lease_seconds": 30}
    for path, body in (
        ("acquire", {"daemon_id": daemon.id, **claim}),
        ("wait", {"daemon_id": daemon.id, "seconds": 0, "has_slot": True}),
        ("refresh", {"daemon_id": daemon.id}),
    ):
        assert other.post(path, body).status_code == 404
    other.post("deregister", {"daemon_id": daemon.id})
    assert ProvisionerDaemon.objects.get(name="tester").stopped_at is None
    assert ProvisionerJob.objects.get().status == JobStatus.PENDING


def test_a_wait_without_streams_answers_at_once(daemon):
    body = {"daemon_id": daemon.id, "seconds": 20, "has_slot": True}
    assert daemon.post("wait", body).body == {"work": False, "canceling": []}
    make_job()
    assert daemon.post("wait", body).body["work"] is True
    assert daemon.post("wait", body | {"has_slot": False}).body["work"] is False


def test_a_key_of_one_organization_gets_no_jobs_of_others():
    ours = Daemon(make_provisioner_key(make_organization()), "ours")
    make_job()
    answer = ours.post("wait", {"daemon_id": ours.id, "seconds": 0, "has_slot": True})
    assert answer.body == {"work": False, "canceling": []}


def test_only_requests_with_invalid_keys_are_rate_limited(daemon, settings):
    settings.RATELIMIT_API = 5
    nobody = ApiClient()
    statuses = [nobody.post(f"{BASE}/refresh", {}).status_code for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    assert {daemon.post("refresh", {"daemon_id": daemon.id}).status_code for _ in range(12)} == {200}


def test_the_archive_is_sent_as_stored(daemon):
    file = queue_import(echo()).job.file
    job = daemon.take()
    answer = daemon.api.get(f"{BASE}/{daemon.job}/archive", **daemon.extra)
    assert (answer.status_code, answer.headers["Content-Type"], answer.raw) == (200, "application/x-tar", file.data)
    assert (job["archive_sha256"], job["archive_bytes"]) == (file.hash, file.size)


def test_secrets_of_a_job_are_sent_only_to_its_daemon(daemon):
    """An owner's session has no access to these endpoints either."""
    make_job(job_input={"rich_parameter_values": [{"name": "token", "value": "hunter2"}]})
    job = daemon.take()
    assert job["plan_input"]["rich_parameter_values"] == {"token": "hunter2"}
    owner = ApiClient(make_user(site_roles=("owner",)))
    lease = {"HTTP_CODER_PROVISIONER_LEASE": daemon.extra["HTTP_CODER_PROVISIONER_LEASE"]}
    assert owner.get(f"{BASE}/{daemon.job}/archive", **lease).status_code == 401


def test_the_schema_describes_every_endpoint():
    from drf_spectacular.generators import SchemaGenerator

    document = json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str))
    paths = {path: item for path, item in document["paths"].items() if path.startswith(f"/api/v2/{BASE}/")}
    assert len(paths) == 16
    for item in paths.values():
        for operation in item.values():
            assert operation["security"] == [{"CoderProvisionerKey": []}]
            assert "401" in operation["responses"]
    complete = document["components"]["schemas"]["DaemonComplete"]
    assert complete["additionalProperties"] is False
    assert "null" not in json.dumps(document["components"]["schemas"]["DaemonLogLine"])
