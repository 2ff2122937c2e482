"""What followers receive over each of the three transports."""

import json
import time
import uuid
from contextlib import ExitStack
from socket import SHUT_RDWR

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from coderproj.identity import tokens
from coderproj.identity.models import ApiKey
from provisioning.models import ProvisionerJob
from provisioning.queue import jobs
from tests.factories import make_job
from tests.provisioning.log.following.conftest import HEADER, ids


def test_a_websocket_sends_stored_and_new_lines_and_closes_with_the_job(followed):
    followed.write("one", 'two "quoted" \\ ü')
    with followed.socket() as socket:
        first, second = socket.recv(timeout=5), socket.recv(timeout=5)
        followed.write("three")
        third = socket.recv(timeout=5)
        followed.complete()
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=5)
    assert closed.value.rcvd.code == 1000
    assert ids([first, second, third]) == [1, 2, 3]
    assert isinstance(first, str)
    assert list(json.loads(second)) == ["id", "created_at", "log_source", "log_level", "stage", "output"]
    assert json.loads(second)["output"] == 'two "quoted" \\ ü'
    assert b'"id":1,"created_at":"' in first.encode()
    assert "X-Coder-Build-Version" not in socket.response.headers  # no Accept header: the sdk dialect
    assert uuid.UUID(socket.response.headers["X-Coder-Request-Id"])
    assert "Sec-WebSocket-Extensions" not in socket.response.headers


def test_all_transports_and_the_list_give_the_same_lines(followed):
    followed.write("a", "b", "\u2028 line separator", "ü" * 40000)
    followed.complete()
    listed = followed.get().json()
    with followed.socket() as socket:
        assert [json.loads(message) for message in socket] == listed
    assert followed.get("follow").json() == listed
    events = followed.get("follow", {"Accept": "text/event-stream"})
    data = [text.removeprefix("data: ") for text in events.text.split("\n") if text.startswith('data: {"')]
    assert [json.loads(text) for text in data] == listed
    assert ids(listed) == list(range(1, len(listed) + 1))


def test_a_job_without_lines(followed):
    with followed.socket() as socket:
        followed.complete()
        assert list(socket) == []
    assert socket.close_code == 1000
    assert followed.get("follow").text == "[]\n"
    assert followed.get().text == "[]\n"
    assert "event: end" in followed.get("follow", {"Accept": "text/event-stream"}).text


@pytest.mark.parametrize("query", ["follow", "follow=true", "follow=", "follow=1", "follow=yes"])
def test_values_that_turn_following_on(followed, query):
    followed.write("one")
    followed.complete()
    with followed.socket(query) as socket:
        assert ids(socket) == [1]


@pytest.mark.parametrize("query", ["follow=false", "follow=0", "follow=False"])
def test_values_that_turn_following_off(followed, query):
    followed.write("one")
    assert ids(followed.get(query).json()) == [1]
    with pytest.raises(InvalidStatus) as rejected:
        followed.socket(query)
    assert rejected.value.response.status_code == 400


def test_the_token_is_accepted_in_cookie_header_or_query(followed):
    followed.complete()
    for options in (
        {"additional_headers": {"Cookie": f"coder_session_token={followed.token}"}},
        {"additional_headers": {HEADER: followed.token}},
        {"additional_headers": {HEADER: ""}, "query": f"follow&coder_session_token={followed.token}"},
        {"additional_headers": {}, "query": f"coder_session_token={followed.token}&follow"},
    ):
        with followed.socket(**options) as socket:
            assert list(socket) == []


@pytest.mark.promise("S9")
@pytest.mark.parametrize("query", ["", "&follow"])
def test_a_token_in_the_query_is_accepted_for_websockets_only(followed, query):
    answer = httpx.get(f"{followed.url}?coder_session_token={followed.token}{query}")
    assert answer.status_code == 401


@pytest.mark.promise("S10")
@pytest.mark.parametrize("token", ["", "nonsense", "aaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbb"])
def test_a_bad_token_is_rejected_before_the_socket_opens(followed, token, measured):
    measured.add(tries=1)
    with pytest.raises(InvalidStatus) as rejected:
        followed.socket(additional_headers={HEADER: token})
    response = rejected.value.response
    assert response.status_code == 401
    assert response.headers["Content-Type"].startswith("application/json")
    assert response.headers["X-Coder-Request-Id"]
    assert json.loads(response.body)["message"]


@pytest.mark.promise("S10")
def test_following_an_unknown_job_is_not_found(followed):
    for query in ("follow", ""):
        answer = httpx.get(f"{followed.api.url}/api/v2/jobs/{uuid.uuid4()}/logs?{query}", headers=followed.headers)
        assert answer.status_code == 404
    followed.job.pk = uuid.uuid4()
    with pytest.raises(InvalidStatus) as rejected:
        followed.socket()
    assert rejected.value.response.status_code == 404


@pytest.mark.promise("S10")
@pytest.mark.parametrize("origin", ["https://evil.test", "null", "http://127.0.0.1:1", "file://"])
def test_a_foreign_origin_is_rejected(followed, origin, measured):
    measured.add(tries=1)
    with pytest.raises(InvalidStatus) as rejected:
        followed.socket(origin=origin)
    assert rejected.value.response.status_code == 403
    assert json.loads(rejected.value.response.body)["message"]


def test_the_servers_own_origin_is_accepted(followed):
    followed.complete()
    with followed.socket(origin=followed.api.url) as socket:
        assert list(socket) == []


def test_other_paths_have_no_websocket(followed):
    for path, status in (("/api/v2/echo", 400), ("/api/v2/nothing/logs?follow", 404)):
        with pytest.raises(InvalidStatus) as rejected:
            connect(followed.api.ws_url + path, proxy=None, additional_headers=followed.headers)
        assert rejected.value.response.status_code == status


def test_following_resumes_after_a_line(followed):
    followed.write("one", "two", "three")
    with followed.socket("follow&after=2") as socket:
        assert ids([socket.recv(timeout=5)]) == [3]
        followed.write("four")
        assert ids([socket.recv(timeout=5)]) == [4]
        followed.complete()
        assert list(socket) == []
    assert ids(followed.get("follow&after=3").json()) == [4]
    assert ids(followed.get("follow&after=900").json()) == []
    assert ids(followed.get("follow&after=-7").json()) == [1, 2, 3, 4]


def test_following_starts_after_a_time(followed):
    followed.write("old", at=1_700_000_000)
    followed.write("same", at=1_700_000_001)
    followed.write("new", at=1_700_000_002)
    followed.complete()
    assert ids(followed.get("follow&after=1700000001").json()) == [3]
    with followed.socket("follow&after=1700000000500") as socket:
        assert ids(socket) == [2, 3]


def test_server_sent_events_resume_by_last_event_id(followed):
    followed.write("one", "two", "three")
    with httpx.stream(
        "GET",
        f"{followed.url}?follow",
        headers={**followed.headers, "Accept": "text/event-stream", "Last-Event-ID": "2"},
    ) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Accel-Buffering"] == "no"
        texts = answer.iter_text()
        seen = next(texts)
        while "\n\n" not in seen.removeprefix("retry: 1000\n\n"):
            seen += next(texts)
        followed.write("four")
        followed.complete()
        seen += "".join(texts)
    assert [text for text in seen.split("\n") if text.startswith("id: ")] == ["id: 3", "id: 4"]
    assert seen.endswith("event: end\ndata: {}\n\n")


def test_the_open_array_grows_and_is_valid_json_at_the_end(followed):
    followed.write("one")
    with httpx.stream("GET", f"{followed.url}?follow", headers={**followed.headers, "Accept": "*/*"}) as answer:
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        texts = answer.iter_text()
        seen = ""
        while "one" not in seen:
            seen += next(texts)
        followed.write("two")
        while "two" not in seen:
            seen += next(texts)
        followed.complete()
        seen += "".join(texts)
    assert ids(json.loads(seen)) == [1, 2]


def test_a_job_canceled_while_it_waits_ends_its_followers(followed):
    waiting = make_job()
    followed.job = waiting
    with followed.socket() as socket:
        followed.api.wait_for_streams(1)
        jobs.cancel(waiting.pk)
        assert list(socket) == []
    assert socket.close_code == 1000


def test_a_deleted_job_ends_its_followers(followed):
    followed.write("one")
    with followed.socket() as socket:
        assert ids([socket.recv(timeout=5)]) == [1]
        ProvisionerJob.objects.filter(pk=followed.job.pk).delete()
        started = time.monotonic()
        assert list(socket) == []
    assert time.monotonic() - started < 20


def test_a_stream_ends_only_after_the_jobs_end_is_committed(followed):
    followed.write("one")
    with followed.socket() as socket:
        socket.recv(timeout=5)
        followed.complete()
        assert list(socket) == []
    assert ProvisionerJob.objects.get(pk=followed.job.pk).completed_at is not None


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("after=x", ["after"]),
        ("before=1.0", ["before"]),
        ("after=%EF%BC%91&before=1_0", ["after", "before"]),
        ("follow&before=3", ["before"]),
        ("follow&after=x", ["after"]),
        ("after=+1", ["after"]),
        ("after=1%0A", ["after"]),
    ],
)
def test_invalid_windows_name_the_field(followed, query, fields):
    answer = followed.get(query)
    assert answer.status_code == 400
    assert [problem["field"] for problem in answer.json()["validations"]] == fields
    if "follow" in query:
        with pytest.raises(InvalidStatus) as rejected:
            followed.socket(query)
        assert rejected.value.response.status_code == 400


def test_the_number_of_streams_per_user_is_limited(followed, monkeypatch):
    monkeypatch.setattr(followed.api.hub, "_streams_per_user", 1)
    with followed.socket():
        followed.api.wait_for_streams(1)
        answer = followed.get("follow")
        assert answer.status_code == 429
        assert answer.json()["message"]
        assert answer.headers["Retry-After"]
        with pytest.raises(InvalidStatus) as rejected:
            followed.socket()
        assert rejected.value.response.status_code == 429
    followed.api.wait_for_streams(0)
    followed.complete()
    assert followed.get("follow").status_code == 200


def test_disconnects_of_silent_clients_are_noticed(followed):
    with ExitStack() as clients:
        sockets = [clients.enter_context(followed.socket()) for _ in range(2)]
        for accept in ("*/*", "text/event-stream"):
            headers = {**followed.headers, "Accept": accept}
            clients.enter_context(httpx.stream("GET", f"{followed.url}?follow", headers=headers))
        followed.api.wait_for_streams(4)
        sockets[0].socket.shutdown(SHUT_RDWR)
        followed.api.wait_for_streams(3)
    followed.api.wait_for_streams(0)


@pytest.mark.promise("S9")
def test_tokens_are_never_logged(followed, caplog, measured):
    followed.complete()
    query = f"follow&coder%5Fsession_token={followed.token}"
    with caplog.at_level("DEBUG"), followed.socket(query, additional_headers={}) as socket:
        assert list(socket) == []
    logged = [record for record in caplog.records if not record.name.startswith("websockets.client")]
    leaks = [record for record in logged if followed.token in record.getMessage()]
    measured.add(leaks=len(leaks))
    assert leaks == []


def test_a_revoked_token_is_rejected(followed):
    _, token = tokens.issue(user=followed.job.initiator)
    ApiKey.objects.filter(pk=token.split("-")[0]).delete()
    assert followed.get("follow", {HEADER: token}).status_code == 401
