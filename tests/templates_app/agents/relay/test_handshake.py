"""The HTTP request, the handshake and the relay's key."""

import asyncio
import json
import stat
import uuid
from functools import wraps

import pytest
import uvloop
from nacl.public import Box, PrivateKey, PublicKey

from templates_app.agents.relay import connection
from templates_app.agents.relay.frames import BadFrame
from templates_app.agents.relay.handshake import ServerInfo, open_info, sealed_info, server_key
from templates_app.agents.relay.server import Limits
from tests.templates_app.agents.relay.clients import CLIENT_INFO, REQUEST, Client, client_info, connect, frame, running


def on_loop(test):
    """Run an asynchronous test on the event loop of the relay."""

    @wraps(test)
    def run(*args, **kwargs):
        uvloop.run(test(*args, **kwargs))

    return run


# ---------------------------------------------------------------------- HTTP
@on_loop
async def test_upgrade():
    async with running() as relay:
        client = await Client().open(relay.port)
        status, *lines = client.head.decode().splitlines()
        headers = dict(line.split(": ") for line in lines if line)
        assert status == "HTTP/1.1 101 Switching Protocols"
        assert headers == {
            "Upgrade": "DERP",
            "Connection": "Upgrade",
            "Derp-Version": "2",
            "Derp-Public-Key": bytes(relay.relay.key.public_key).hex(),
        }


PLAIN = b"GET %b HTTP/1.1\r\nHost: relay\r\n%b\r\n"
REFUSED = {
    "latency": (PLAIN % (b"/derp/latency-check", b""), 200),
    "no upgrade": (PLAIN % (b"/derp", b""), 426),
    "another upgrade": (PLAIN % (b"/derp", b"Upgrade: websocket\r\nConnection: Upgrade\r\n"), 426),
    "upgrade without connection": (PLAIN % (b"/derp", b"Upgrade: DERP\r\n"), 426),
    "another path": (PLAIN % (b"/", b""), 404),
    "another method": (b"POST /derp HTTP/1.1\r\nHost: relay\r\nContent-Length: 0\r\n\r\n", 405),
    "not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "a long head": (b"GET /derp HTTP/1.1\r\n" + b"X-Header: value\r\n" * 600, 431),
    "a long line": (b"GET /derp HTTP/1.1\r\nX-Header: " + b"a" * 9000, 431),
    "a long path": (b"GET /" + b"a" * 9000, 431),
}


@pytest.mark.parametrize("kind", REFUSED)
@on_loop
async def test_other_requests(kind):
    request, status = REFUSED[kind]
    async with running() as relay:
        client = await Client().open(relay.port, request)
        assert client.head.startswith(f"HTTP/1.1 {status} ".encode())
        await client.closed()
        await relay.until(lambda: not relay.relay.connections)


@on_loop
async def test_a_request_in_pieces_together_with_the_client_info():
    """The client may send its info before it has the response, and TCP may cut anywhere."""
    async with running() as relay:
        key = PrivateKey.generate()
        relay.rooms.add(Client(key))
        info = frame(CLIENT_INFO, client_info(key, bytes(relay.relay.key.public_key)))
        data = REQUEST + info + frame(0x12, b"together")
        for step in (1, 7, len(data)):
            reader, writer = await connect(relay.port)
            for at in range(0, len(data), step):
                writer.write(data[at : at + step])
                await writer.drain()
                await asyncio.sleep(0)
            client = Client(key)
            client.reader, client.writer = reader, writer
            await client.within(reader.readuntil(b"\r\n\r\n"))
            assert [(await client.read())[0] for _ in range(3)] == [1, 3, 0x13]
            await client.close()


# ---------------------------------------------------------------------- the handshake
@on_loop
async def test_handshake():
    """CRD-07: the server info decrypts with the client's key."""
    async with running() as relay:
        key = PrivateKey.generate()
        relay.rooms.add(Client(key))
        client = await relay.client(key)
        assert client.info == {"version": 2}
        assert client.server_key == bytes(relay.relay.key.public_key)
        await client.answered()


@on_loop
async def test_the_rate_is_in_the_server_info():
    async with running(Limits(bytes_per_second=1000)) as relay:
        client = (await relay.pair())[0]
        assert client.info == {
            "version": 2,
            "TokenBucketBytesPerSecond": 1000,
            "TokenBucketBytesBurst": 2000,
        }


WRONG_INFOS = {
    "another key": lambda key, server: bytes(key.public_key) + client_info(PrivateKey.generate(), server)[32:],
    "for another relay": lambda key, _: client_info(key, bytes(PrivateKey.generate().public_key)),
    "no JSON": lambda key, server: bytes(key.public_key) + Box(key, PublicKey(server)).encrypt(b"{"),
    "not an object": lambda key, server: bytes(key.public_key) + Box(key, PublicKey(server)).encrypt(b"[2]"),
    "deep": lambda key, server: bytes(key.public_key) + Box(key, PublicKey(server)).encrypt(b'{"a":' + b"[" * 9000),
    "an old version": lambda key, server: client_info(key, server, version=1),
    "a mesh key": lambda key, server: client_info(key, server, meshKey="secret"),
    "changed": lambda key, server: client_info(key, server)[:-1] + b"\x00",
    "short": lambda key, server: client_info(key, server)[:71],
    "empty": lambda key, server: b"",
    "too long": lambda key, server: client_info(key, server) + bytes(2**18),
}


@pytest.mark.promise("S22")
@pytest.mark.parametrize("kind", WRONG_INFOS)
@on_loop
async def test_wrong_client_infos(kind, measured):
    """CRD-07: the connection closes, and another one is served."""
    async with running() as relay:
        key = PrivateKey.generate()
        relay.rooms.add(Client(key))
        client = await Client(key).open(relay.port)
        await client.read()
        client.write(CLIENT_INFO, WRONG_INFOS[kind](key, bytes(relay.relay.key.public_key)))
        await client.closed()
        measured.add(strangers=1, accepted_or_passed_on=relay.relay.figures.accepted)
        await (await relay.client(key)).answered()
        assert relay.relay.figures.accepted == 1


def test_weak_keys_are_refused():
    """All keys that lead to the same secret, such as zero."""
    with pytest.raises(BadFrame):
        open_info(PrivateKey.generate(), bytes(32) + bytes(100))


@on_loop
async def test_another_frame_first():
    async with running() as relay:
        client = await Client().open(relay.port)
        client.write(4, bytes(40))
        await client.closed()


# ---------------------------------------------------------------------- strangers
@pytest.mark.promise("S22")
@on_loop
async def test_strangers_are_refused(monkeypatch, measured):
    """W56: a key that nobody has announced."""
    monkeypatch.setattr(connection, "UNKNOWN_SECONDS", 0.05)
    async with running() as relay:
        stranger = await Client().greet(relay.port)
        await stranger.closed()
        assert relay.relay.figures.refused == 1
        assert relay.relay.figures.accepted == 0
        measured.add(strangers=1, accepted_or_passed_on=relay.relay.figures.accepted)


@on_loop
async def test_a_key_that_is_announced_a_little_later():
    """The node connects while its announcement is on its way."""
    async with running() as relay:
        client = await Client().greet(relay.port)
        client.write(0x12, b"answered")
        await relay.until(lambda: relay.rooms.directory._awaited)
        relay.rooms.add(client)
        assert [(await client.read())[0] for _ in range(2)] == [3, 0x13]
        await client.close()


@pytest.mark.parametrize("way", ["announced", "unknown", "evicted", "the relay stops"])
@on_loop
async def test_nothing_is_left_of_a_handshake_that_waited_for_its_key(way, monkeypatch):
    """However it ends: strangers can make many."""
    if way == "unknown":
        monkeypatch.setattr(connection, "UNKNOWN_SECONDS", 0.05)
    async with running(Limits(handshakes=1)) as relay:
        client = await Client().greet(relay.port)
        directory = relay.rooms.directory
        await relay.until(lambda: directory._awaited)
        if way == "announced":
            relay.rooms.add(client)
            assert (await client.read())[0] == 3
        elif way == "evicted":
            await Client().open(relay.port)
        elif way == "the relay stops":
            await relay.relay.stop()
        await relay.until(lambda: not directory._awaited)
        if way != "announced":
            await client.closed()


@on_loop
async def test_slow_handshakes_end(monkeypatch):
    monkeypatch.setattr(connection, "HANDSHAKE_SECONDS", 0.05)
    async with running() as relay:
        await connect(relay.port)
        silent = await Client().open(relay.port)
        await silent.closed()
        await relay.until(lambda: not relay.relay.connections)


@on_loop
async def test_too_many_handshakes_end_the_oldest():
    """Strangers who wait lock nobody out."""
    async with running(Limits(handshakes=3)) as relay:
        waiting = [await Client().open(relay.port) for _ in range(5)]
        await waiting[0].closed()
        await waiting[1].closed()
        assert len(relay.relay.handshakes) == 3
        await (await relay.pair())[0].answered()


@on_loop
async def test_too_many_handshakes_of_an_address_end_its_oldest():
    async with running(Limits(handshakes_of_address=3)) as relay:
        waiting = [await Client().open(relay.port) for _ in range(4)]
        await waiting[0].closed()
        assert len(relay.relay.handshakes) == 3


@on_loop
async def test_addresses_behind_a_trusted_proxy_are_counted_each():
    from ipaddress import ip_network

    async with running(Limits(handshakes_of_address=1), trusted_proxies=[ip_network("127.0.0.1")]) as relay:
        named = [REQUEST.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 192.0.2.%d\r\n\r\n" % one) for one in (1, 2, 2)]
        waiting = [await Client().open(relay.port, request) for request in named]
        await waiting[1].closed()
        assert sorted(relay.relay.handshakes.values()) == ["192.0.2.1", "192.0.2.2"]


@on_loop
async def test_too_many_connections():
    async with running(Limits(connections=2)) as relay:
        await relay.pair()
        reader, _ = await connect(relay.port)
        assert await Client().within(reader.read()) == b""
        assert len(relay.relay.connections) == 2


@on_loop
async def test_too_many_connections_of_a_user():
    """With several keys. Another user, and the same one after an end, are served."""
    async with running(Limits(connections_of_owner=2)) as relay:
        keys = [PrivateKey.generate() for _ in range(4)]
        user_id = uuid.uuid4()
        agent_id = relay.rooms.add(None, *map(Client, keys[:3]), user_id=user_id)
        relay.rooms.add(None, Client(keys[3]), agent_id=agent_id)
        first, second = [await relay.client(key) for key in keys[:2]]
        await (await Client(keys[2]).greet(relay.port)).closed()
        await (await relay.client(keys[3])).answered()
        await first.close()
        await relay.until(lambda: relay.relay.owners[user_id] == 1)
        await (await relay.client(keys[2])).answered()
        await second.answered()


# ---------------------------------------------------------------------- the relay's key
def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path):
    folder = tmp_path / "data"
    key = server_key(b"", folder)
    assert bytes(server_key(b"", folder)) == bytes(key)
    assert stat.S_IMODE((folder / "relay_key").stat().st_mode) == 0o600
    configured = bytes(PrivateKey.generate())
    assert bytes(server_key(configured, folder)) == configured


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, "00" * 31], ids=["empty", "odd", "letters", "short"])
def test_a_damaged_key_names_its_file(tmp_path, text):
    (tmp_path / "relay_key").write_text(text)
    with pytest.raises(ValueError, match="relay_key does not contain a key"):
        server_key(b"", tmp_path)


def test_sealed_info_is_for_the_client_alone():
    own, client = PrivateKey.generate(), PrivateKey.generate()
    sealed = sealed_info(own, bytes(client.public_key), ServerInfo(2))
    assert json.loads(Box(client, own.public_key).decrypt(sealed)) == {"version": 2}
    assert sealed != sealed_info(own, bytes(client.public_key), ServerInfo(2))
