"""Users who may handle the state of a workspace can push what can be pulled; bodies of others stay short."""

import base64
import json
import random

import httpx
import pytest

from coderproj.identity import tokens
from coderproj.web import callers as web_callers
from provisioning.engine.base import MAX_STATE
from templates_app.workspaces import states
from templates_app.workspaces.models import BuildState, WorkspaceBuild
from templates_app.workspaces.views import long_bodies
from tests.api import ApiClient, fields_of

HEADER = "Coder-Session-Token"


def state_of(size: int) -> bytes:
    """Return a state of so many bytes, which hardly can be compressed."""
    begin, end = b'{"lineage": "own", "serial": 1, "text": "', b'"}'
    text = base64.b64encode(random.Random(5).randbytes(size))
    return begin + text[: size - len(begin) - len(end)] + end


def body_of(state: bytes, **fields) -> bytes:
    return json.dumps({"transition": "start", "state": base64.b64encode(state).decode(), **fields}).encode()


def push(live_api, user, workspace, content, **headers):
    _, token = tokens.issue(user=user)
    url = f"{live_api.url}/api/v2/workspaces/{workspace.pk}/builds"
    sent = {HEADER: token, "Content-Type": "application/json", "Accept": "application/json", **headers}
    return httpx.post(url, content=content, headers=sent, timeout=60)


# ---------------------------------------------------------------------- on a server
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [3 * 1024 * 1024, MAX_STATE])
def test_what_can_be_pulled_can_be_pushed(live_api, owner, workspace, size, chunked):
    state = state_of(size)
    body = body_of(state)
    pieces = (body[start : start + 1_000_000] for start in range(0, len(body), 1_000_000))
    answer = push(live_api, owner, workspace, pieces if chunked else body)
    assert answer.status_code == 201, answer.text
    _, token = tokens.issue(user=owner)
    pulled = httpx.get(
        f"{live_api.url}/api/v2/workspacebuilds/{answer.json()['id']}/state", headers={HEADER: token}, timeout=60
    )
    assert pulled.content == state


@pytest.mark.parametrize("chunked", [False, True])
def test_state_beyond_the_bound_is_refused(live_api, owner, workspace, chunked):
    """One that is a little too long arrives, and much more is not received."""
    for size in (MAX_STATE + 1, MAX_STATE + 3_000_000):
        body = body_of(b"x" * size)
        answer = push(live_api, owner, workspace, iter([body]) if chunked else body)
        assert (answer.status_code, [one["field"] for one in answer.json()["validations"]]) == (413, ["state"])
        assert "33,554,432 bytes" in answer.json()["validations"][0]["detail"]
    assert WorkspaceBuild.objects.count() == 1


def test_bodies_of_others_stay_short(live_api, ada, owner, workspace, template, organization):
    """The workspace's owner may not handle the state; for the site's owner, only this request may be long."""
    long = body_of(state_of(3 * 1024 * 1024))
    answer = push(live_api, ada, workspace, long)
    assert (answer.status_code, [one["field"] for one in answer.json()["validations"]]) == (413, ["state"])
    _, token = tokens.issue(user=owner)
    headers = {HEADER: token, "Content-Type": "application/json"}
    for method, path in (
        ("PUT", f"workspaces/{workspace.pk}/ttl"),
        ("POST", f"organizations/{organization.pk}/members/me/workspaces"),
        ("PATCH", f"templates/{template.pk}"),
    ):
        found = httpx.request(method, f"{live_api.url}/api/v2/{path}", content=long, headers=headers, timeout=30)
        assert found.status_code == 413, path
    assert WorkspaceBuild.objects.count() == 1


def test_long_bodies_of_strangers_are_not_received(live_api, workspace):
    url = f"{live_api.url}/api/v2/workspaces/{workspace.pk}/builds"
    answer = httpx.post(url, content=b"{" + b" " * 3_000_000, headers={"Content-Type": "application/json"})
    assert answer.status_code == 401


# ---------------------------------------------------------------------- parsing
@pytest.fixture
def short_limit(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000


@pytest.mark.django_db
def test_fields_of_a_long_body_are_those_of_a_short_one(short_limit, owner, workspace):
    state = state_of(2000)
    values = [{"name": "unknown", "value": "ü\u2028"}]
    body = {"state": base64.b64encode(state).decode(), "transition": "start", "rich_parameter_values": values}
    path = f"workspaces/{workspace.pk}/builds"
    refused = ApiClient(owner).call("POST", path, raw=json.dumps(body).encode())
    assert (refused.status_code, fields_of(refused)) == (400, ["rich_parameter_values.unknown"])
    del body["rich_parameter_values"]
    for number, raw in enumerate((json.dumps(body), json.dumps(body).replace("/", "\\/"), json.dumps(body, indent=9))):
        answer = ApiClient(owner).call("POST", path, raw=raw.encode())
        assert answer.status_code == 201, answer.body
        build = WorkspaceBuild.objects.select_related("job").get(pk=answer.body["id"])
        assert states.state_of(build) == state, number
        type(build.job).objects.filter(pk=build.job_id).update(completed_at=build.created_at)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "value", ["5" * 2000, '"' + "%" * 2000 + '"', '["' + "a" * 2000 + '"]', '"' + "a" * 2001 + '"']
)
def test_long_state_that_is_no_base64(short_limit, owner, workspace, value):
    raw = b'{"transition": "start", "state": %b}' % value.encode()
    answer = ApiClient(owner).call("POST", f"workspaces/{workspace.pk}/builds", raw=raw)
    assert (answer.status_code, fields_of(answer)) == (400, ["state"])


@pytest.mark.django_db
@pytest.mark.parametrize(
    "raw",
    [
        b'{"transition": "start", "state": "' + b"a" * 2000,
        b"[" * 5000,
        b'{"a": ' + b"[" * 5000,
        b'["' + b"a" * 2000 + b'"]',
        b'{"transition": "start", "state": NaN' + b" " * 2000 + b"}",
    ],
)
def test_long_body_that_is_no_json_object(short_limit, owner, workspace, raw):
    answer = ApiClient(owner).call("POST", f"workspaces/{workspace.pk}/builds", raw=raw)
    assert (answer.status_code, answer.body["message"]) == (400, "Request body must be valid JSON.")


@pytest.mark.django_db
def test_everything_but_the_state_stays_short(short_limit, owner, workspace):
    for raw in (
        body_of(state_of(2000), ignored="x" * 1000),
        body_of(state_of(2000), **{str(number): 0 for number in range(200)}),
        body_of(state_of(2000)).replace(b'"state"', b'"State"'),
        b'{"transition": "start"' + b" " * 2000 + b"}",
    ):
        answer = ApiClient(owner).call("POST", f"workspaces/{workspace.pk}/builds", raw=raw)
        assert (answer.status_code, answer.body["message"]) == (
            413,
            "The request body without its state is larger than 1000 bytes.",
        )
    deep = b'{"transition": "start", "state": "%b", "ignored": %b}' % (b"a" * 2000, b"[" * 400 + b"]" * 400)
    assert ApiClient(owner).call("POST", f"workspaces/{workspace.pk}/builds", raw=deep).status_code == 400


@pytest.mark.django_db
def test_who_may_not_handle_the_state_sends_no_long_body(short_limit, ada, workspace):
    """Also on a server that does not receive bodies before it calls Django."""
    answer = ApiClient(ada).call("POST", f"workspaces/{workspace.pk}/builds", raw=body_of(state_of(2000)))
    assert (answer.status_code, fields_of(answer)) == (413, ["state"])
    assert not BuildState.objects.exists()


def test_only_new_builds_are_long(settings):
    source = long_bodies.StateBodies()
    base = "/api/v2/workspaces/6f9b7a52-0d2c-4a5e-9f4d-0b1f8f6a1c11/builds"
    wanted = {
        (method, path) for method in ("GET", "POST") for path in (base, f"{base}/", f"{base}/x", f"/x{base}", "/")
    }
    found = {(method, path) for method, path in wanted if source.matches({"REQUEST_METHOD": method, "PATH_INFO": path})}
    assert found == {("POST", base), ("POST", f"{base}/")}
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": base}
    assert [web_callers.is_long(environ, size) for size in (limit, limit + 1)] == [False, True]
    assert not web_callers.is_long({**environ, "PATH_INFO": "/api/v2/templates"}, limit + 1)
