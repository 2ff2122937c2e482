"""Compiled reads on the event loop of a real server."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from coderproj.database.prepared import Prepared
from coderproj.identity import authentication
from coderproj.identity.limits import counters
from coderproj.identity.models import ApiKey, User
from coderproj.reads import responder
from coderproj.reads.viewsets import Replay, RowNeeded
from coderproj.web.environ import NeedsThread
from provisioning.models import ProvisionerJobLog
from templates_app.models import Template, TemplateAccess
from tests.api import ApiClient
from tests.factories import make_organization, make_template, make_user
from tests.live import LiveApi
from tests.templates_app.test_reads import READS, world  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db(transaction=True)
CHANGING = {"date", "x-coder-request-id", "x-ratelimit-remaining", "x-ratelimit-reset"}


class Caller:
    """A caller with keep-alive. ``on_loop`` is a GET that fails if a thread would handle it."""

    def __init__(self, live_api: LiveApi, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
        token = ApiClient(user).headers["HTTP_CODER_SESSION_TOKEN"]
        headers = {"Coder-Session-Token": token}
        self.client = httpx.Client(base_url=f"{live_api.url}/api/v2/", headers=headers, timeout=10)
        self.bridge = live_api.server.app._bridge
        self.monkeypatch = monkeypatch

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def on_loop(self, path: str) -> httpx.Response:
        with self.monkeypatch.context() as patched:
            patched.setattr(self.bridge, "handler", no_thread)
            return self.client.get(path)


def no_thread(environ: Any, start: Any) -> Any:
    raise AssertionError("a thread handles the request")


@pytest.fixture
def call(live_api, monkeypatch) -> Iterator[Callable[[User], Caller]]:
    callers: list[Caller] = []

    def make(user: User) -> Caller:
        callers.append(Caller(live_api, user, monkeypatch))
        return callers[-1]

    yield make
    for caller in callers:
        caller.client.close()


LOG = {
    "log": lambda organization, template: (f"templateversions/{template.active_version_id}/logs", None),
    "log after a line": lambda organization, template: (
        f"templateversions/{template.active_version_id}/logs?after=1",
        None,
    ),
    "slash": lambda organization, template: (f"templates/{template.pk}/", None),
}


@pytest.mark.parametrize("name", [*READS, *LOG])
def test_the_event_loop_responds_as_a_thread_does(call, world, name, settings):  # noqa: F811
    settings.RATELIMIT_API = 1600
    organization, admin, template = world
    path, _ = {**READS, **LOG}[name](organization, template)
    caller = call(admin)
    regular, fast = caller.get(path), caller.on_loop(path)
    assert (regular.status_code, fast.status_code) == (200, 200)
    assert fast.content == regular.content
    assert [(k, v) for k, v in fast.headers.items() if k not in CHANGING] == [
        (k, v) for k, v in regular.headers.items() if k not in CHANGING
    ]
    assert set(fast.headers) == set(regular.headers)


@pytest.fixture
def template():
    organization = make_organization(is_default=True)
    admin = make_user("ada", organizations=(organization,), organization_roles=("organization-admin",))
    return make_template(user=admin, organization=organization, name="plain")


@pytest.fixture
def caller(call, template):
    """A member whose reads the event loop serves."""
    caller = call(make_user("mel", organizations=(template.organization,)))
    caller.get(f"templates/{template.pk}")
    assert caller.on_loop(f"templates/{template.pk}").status_code == 200
    return caller


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda: ApiKey.objects.filter(user__username="mel").delete(), 401),
        (lambda: User.objects.filter(username="mel").update(status="suspended"), 401),
        (lambda: TemplateAccess.objects.all().delete(), 404),
        (lambda: Template.objects.update(deleted=True), 404),
    ],
    ids=["revoked", "suspended", "not listed", "deleted"],
)
def test_a_lost_right_takes_effect_at_the_next_request(caller, template, change, status):
    change()
    answer = caller.get(f"templates/{template.pk}")
    assert answer.status_code == status
    assert answer.json()["message"]


@pytest.mark.parametrize(
    "path",
    [
        "templates/{id}/versions?limit=no",
        "templates/not-an-id",
        "templates/{id}/versions/none",
        "organizations/{organization}/templates?q=name:plain",
        "templates",
        "nothing/of/the/kind",
        "organizations/日/templates",
        "organizations/%C3%A9/templates/%E6%97%A5",
        "x" * 600,
    ],
)
def test_other_requests_are_left_to_threads_and_counted_once(caller, template, path, settings):
    settings.RATELIMIT_API = 1600
    path = path.format(id=template.pk, organization=template.organization_id)
    counters.clear()
    answers = [caller.get(path) for _ in range(2)]
    assert answers[0].content == answers[1].content
    remaining = [int(answer.headers["x-ratelimit-remaining"]) for answer in answers]
    assert remaining == [1599, 1598]


def test_a_due_report_of_the_rate_limit_takes_a_thread(caller, template, settings):
    settings.RATELIMIT_API = 32  # a report at every second hit
    path = f"templates/{template.pk}"
    counters.clear()
    assert caller.on_loop(path).headers["x-ratelimit-remaining"] == "31"
    assert caller.on_loop(path).status_code == 500
    assert [caller.get(path).headers["x-ratelimit-remaining"] for _ in range(3)] == ["30", "29", "28"]


def test_an_error_on_the_event_loop_is_logged_and_a_thread_responds(caller, template, monkeypatch, caplog):
    def fail(*args: Any) -> Any:
        raise RuntimeError("a broken responder")

    monkeypatch.setattr(responder, "view_of", fail)
    assert caller.get(f"templates/{template.pk}").status_code == 200
    assert "a thread handles it" in caplog.text


def test_a_token_is_cached_by_its_first_request(call, template):
    stranger = call(make_user("new", organizations=(template.organization,)))
    authentication.actor_cache.clear()
    assert stranger.on_loop(f"templates/{template.pk}").status_code == 500
    assert stranger.get(f"templates/{template.pk}").status_code == 200
    assert stranger.on_loop(f"templates/{template.pk}").status_code == 200


def test_only_compiled_reads_have_a_route(template):
    root = "coderproj.urls"
    assert responder.route(f"/api/v2/templates/{template.pk}", root) is not None
    for path in ("/api/v2/templates", "/api/v2/nothing", "/api/v2/buildinfo", f"/api/v2/templates/{template.pk}/acl"):
        assert responder.route(path, root) is None


def test_a_long_log_is_read_on_the_event_loop_and_streamed(caller, template, caplog):
    job_id = template.active_version.job_id
    ProvisionerJobLog.objects.filter(job_id=job_id).delete()
    moment = template.created_at
    ProvisionerJobLog.objects.bulk_create(
        ProvisionerJobLog(job_id=job_id, id=number, created_at=moment, source="provisioner", level="info", output="x")
        for number in range(1, 1_201)
    )
    answer = caller.on_loop(f"templateversions/{template.active_version_id}/logs")
    assert [line["id"] for line in answer.json()] == list(range(1, 1_201))
    assert caplog.text == ""


def test_rows_are_given_only_to_the_statement_that_they_belong_to():
    replay, first, second = Replay(), Prepared("SELECT 1", []), Prepared("SELECT 2", [])
    with pytest.raises(RowNeeded) as needed:
        replay(first, [b"1"])
    replay.add(needed.value, (1,))
    assert replay(first, [b"1"]) == (1,)
    for statement, parameters in ((second, [b"1"]), (first, [b"2"])):
        replay.add(needed.value, None)
        with pytest.raises(NeedsThread):
            replay(statement, parameters)
