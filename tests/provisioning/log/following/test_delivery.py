"""Every line reaches every follower once and in order, despite lags, lost connections and gaps."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from django.db import connection, connections
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from provisioning.log import writing
from tests.provisioning.log.following.conftest import Followed, ids, line

ROOT = Path(__file__).parents[4]


def write_slowly(followed: Followed, count: int, batch: int, pause: float) -> None:
    """Write numbered lines in batches from a thread, then complete the job."""
    try:
        for start in range(1, count + 1, batch):
            outputs = [line(f"line {number}") for number in range(start, min(start + batch, count + 1))]
            writing.append(followed.job.pk, followed.lease.token, outputs)
            time.sleep(pause)
        followed.complete()
    finally:
        connections.close_all()


async def follow_all(followed: Followed, websockets: int, arrays: int, events: int) -> list[list[int]]:
    """Return the ids that each of these followers receives."""

    async def by_websocket() -> list[int]:
        url = f"{followed.api.ws_url}{followed.path}?follow"
        async with connect_async(url, additional_headers=followed.headers, proxy=None) as socket:
            return ids([message async for message in socket])

    async def by_http(client: httpx.AsyncClient, accept: str) -> list[int]:
        answer = await client.get(f"{followed.url}?follow", headers={**followed.headers, "Accept": accept})
        if accept == "text/event-stream":
            return [int(number) for number in re.findall(r"^id: (\d+)$", answer.text, re.MULTILINE)]
        return ids(answer.json())

    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None), trust_env=False) as client:
        return await asyncio.gather(
            *(by_websocket() for _ in range(websockets)),
            *(by_http(client, "*/*") for _ in range(arrays)),
            *(by_http(client, "text/event-stream") for _ in range(events)),
        )


def in_background(target, *arguments) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments)
    thread.start()
    return thread


def test_fifty_followers_of_a_live_job_get_every_line(followed):
    writer = in_background(write_slowly, followed, 2000, 40, 0.02)
    received = asyncio.run(follow_all(followed, websockets=30, arrays=10, events=10))
    writer.join()
    assert [each == list(range(1, 2001)) for each in received] == [True] * 50


def test_a_slow_follower_falls_behind_and_still_gets_every_line(followed):
    """The lines exceed the queue and the socket buffers by far, so the follower must read the table again."""
    with followed.socket(max_queue=1) as socket:
        followed.api.wait_for_streams(1)
        for _ in range(60):
            followed.write(*("x" * 20000 for _ in range(20)))
        followed.complete()
        received = []
        for number, message in enumerate(socket):
            received.append(json.loads(message)["id"])
            if number % 100 == 0:
                time.sleep(0.02)
    assert received == list(range(1, 1201))
    assert socket.close_code == 1000


def test_a_slow_follower_does_not_slow_the_others(followed):
    with followed.socket(max_queue=1) as slow:
        followed.api.wait_for_streams(1)
        started = time.monotonic()
        writer = in_background(write_slowly, followed, 1000, 100, 0.01)
        received = asyncio.run(follow_all(followed, websockets=3, arrays=1, events=1))
        assert time.monotonic() - started < 5
        writer.join()
        assert [each == list(range(1, 1001)) for each in received] == [True] * 5
        assert ids(slow) == list(range(1, 1001))


def terminate(application: str) -> int:
    """Terminate the server's connections of that name, as a database restart would; return their number."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name = %s AND datname = current_database()",
            [application],
        )
        return cursor.fetchone()[0]


@pytest.mark.promise("R2")
@pytest.mark.parametrize("application", ["coderproj-listener", "coderproj-followers"])
def test_nothing_is_lost_when_the_database_drops_connections(followed, application):
    writer = in_background(write_slowly, followed, 1000, 20, 0.02)
    killed = []

    def kill() -> None:
        try:
            for _ in range(4):
                time.sleep(0.2)
                killed.append(terminate(application))
        finally:
            connections.close_all()

    killer = in_background(kill)
    received = asyncio.run(follow_all(followed, websockets=3, arrays=1, events=1))
    writer.join()
    killer.join()
    assert [each == list(range(1, 1001)) for each in received] == [True] * 5
    assert sum(killed) >= 2


def test_the_end_is_found_without_a_notification(followed):
    followed.write("one")
    with followed.socket() as socket:
        socket.recv(timeout=5)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE provisioning_provisionerjob SET completed_at = now(), lease = NULL, lease_expires_at = NULL"
                " WHERE id = %s",
                [followed.job.pk],
            )
        started = time.monotonic()
        assert list(socket) == []
    assert time.monotonic() - started < 8


def test_a_full_page_is_read_once_for_all_followers(followed):
    followed.write(*(f"line {number}" for number in range(1000)))
    followed.complete()
    assert ids(followed.get("follow").json()) == list(range(1, 1001))
    before = followed.api.hub.store.queries
    for _ in range(5):
        assert ids(followed.get("follow").json()) == list(range(1, 1001))
    # Each time: the position, and the page after the last line.
    assert followed.api.hub.store.queries - before == 10


def test_lines_with_gaps_between_their_ids_do_not_stop_followers(followed):
    followed.write(*(f"line {number}" for number in range(1200)))
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM provisioning_provisionerjoblog WHERE id <= 700 OR id BETWEEN 900 AND 910")
    with followed.socket() as socket:
        expected = [*range(701, 900), *range(911, 1201)]
        assert ids(socket.recv(timeout=5) for _ in expected) == expected
        followed.write("more")
        assert ids([socket.recv(timeout=5)]) == [1201]
        followed.complete()
        assert list(socket) == []


def test_a_stopping_server_closes_its_streams(followed, transactional_db):
    """A server in a separate process ends in time, with status 0, while followers are connected."""
    followed.write("one")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.provisioning.log.following.live_settings",
        "TEST_DATABASE_NAME": connection.settings_dict["NAME"],
    }
    command = [sys.executable, "-m", "coderproj.web.server", "--port", "0"]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    with server, ending(server):
        url = server.stdout.readline().strip()
        wait_until_it_answers(url)
        bodies: dict[str, str] = {}

        def read(accept: str) -> None:
            headers = {**followed.headers, "Accept": accept}
            bodies[accept] = httpx.get(f"{url}{followed.path}?follow", headers=headers, timeout=20).text

        readers = [in_background(read, accept) for accept in ("*/*", "text/event-stream")]
        address = url.replace("http", "ws") + followed.path + "?follow"
        with connect(address, additional_headers=followed.headers, proxy=None) as socket:
            socket.recv(timeout=5)
            time.sleep(0.5)
            started = time.monotonic()
            server.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=5)
        for reader in readers:
            reader.join()
        assert server.wait(10) == 0
        took = time.monotonic() - started
    assert took < 8
    assert closed.value.rcvd.code == 1001
    assert ids(json.loads(bodies["*/*"])) == [1]
    assert "id: 1" in bodies["text/event-stream"]
    assert "event: end" not in bodies["text/event-stream"]


@contextmanager
def ending(process: subprocess.Popen[str]) -> Iterator[None]:
    """Kill the process if it still runs when the block ends."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()


def wait_until_it_answers(url: str) -> None:
    for _ in range(200):
        try:
            httpx.get(f"{url}/api/v2/echo")
            return
        except httpx.ConnectError:
            time.sleep(0.05)
    raise AssertionError("the server does not answer")
