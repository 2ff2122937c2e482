"""Agents as ``tests.bench.connected`` needs them: thousands in a process of its own, with as little work as possible.

Each of them connects, reports its traffic once in REPORT_SECONDS, and stays connected like a program with a WebSocket,
or like our own agent, by requests on new connections.
"""

import asyncio
import json
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe

import uvloop

from coderproj.base.processes import allow_connections

# The product's default for agents, and how often they ping (contract, a real agent).
REPORT_SECONDS, PING_SECONDS = 600, 30
# Agents that connect at a time.
AT_ONCE = 32
# Our own agents that begin in a second.
PER_SECOND = 50
TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
API = "/api/v2/workspaceagents/me"
ADDRESS = "fd7a:115c:a1e0:49d6:b259:b7ac:b1b2:48f4/128"
NODE = {
    "id": 1,
    "as_of": "2026-01-02T03:04:05Z",
    "key": f"nodekey:{1:064x}",
    "disco": f"discokey:{1:064x}",
    "preferred_derp": 0,
    "derp_latency": None,
    "addresses": [ADDRESS],
    "allowed_ips": [ADDRESS],
    "endpoints": ["10.0.0.5:41641"],
}


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a frame of a client: its mask is zero, so the payload is as it was."""
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else struct.pack(">BH", 0x80 | 126, len(payload))
    return bytes([opcode]) + length + bytes(4) + payload


@dataclass
class Agents:
    """The agents of ``tokens``. ``seen`` counts what happened, by name."""

    port: int
    tokens: list[str]
    has_websockets: bool
    has_traffic: bool
    seen: Counter[str] = field(default_factory=Counter)
    _limit: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def run(self, pipe: Pipe) -> None:
        """Connect all agents, and send a copy of ``seen`` for each message, until the other end closes."""
        loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(self._live(number, token)) for number, token in enumerate(self.tokens)]
        with suppress(EOFError):
            while True:
                await loop.run_in_executor(None, pipe.recv)
                pipe.send(dict(self.seen))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _live(self, number: int, token: str) -> None:
        reports = asyncio.create_task(self._report(number, token))
        try:
            await (self._hold_websocket(token) if self.has_websockets else self._send_requests(number, token))
        except Exception as error:  # noqa: BLE001 - the benchmark shows it
            self.seen[f"lost: {error!r}"] += 1
        finally:
            reports.cancel()

    async def _report(self, number: int, token: str) -> None:
        """Report, evenly spread over all agents."""
        await asyncio.sleep(number * REPORT_SECONDS / len(self.tokens))
        traffic = {"conns_by_proto": {"TCP": 1}, "num_comms": 1, "rx_packets": 1, "tx_packets": 1}
        body = {**traffic, "rx_bytes": 1, "tx_bytes": 1} if self.has_traffic else {"num_comms": 1}
        while True:
            status = await self._post("report-stats", token, body)
            self.seen["reports" if status == 200 else f"reports refused with {status}"] += 1
            await asyncio.sleep(REPORT_SECONDS)

    async def _send_requests(self, number: int, token: str) -> None:
        """Continue a session. A busy server refuses requests: the agent tries again, as ours does."""
        await asyncio.sleep(number / PER_SECOND)
        first = True
        while True:
            status = await self._post("presence", token, {"session": token})
            if status == 200:
                self.seen["connected" if first else "requests"] += 1
                first = False
            elif status in (429, 503):
                self.seen["requests to repeat"] += 1
                await asyncio.sleep(1)
            else:
                raise ConnectionError(f"status {status}")

    async def _post(self, path: str, token: str, body: object) -> int:
        """Send a request on a connection of its own. Returns the status."""
        content = json.dumps(body).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(
                f"POST {API}/{path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8\r\nAccept: */*\r\n"
                f"Coder-Session-Token: {token}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(content)}\r\n\r\n".encode()
                + content
            )
            return int((await reader.readuntil(b"\r\n")).split()[1])
        finally:
            writer.close()

    async def _hold_websocket(self, token: str) -> None:
        async with self._limit:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(
                f"GET {API}/coordinate HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                f"Cookie: coder_session_token={token}\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 101 " not in head.partition(b"\r\n")[0]:
                raise ConnectionError(head.partition(b"\r\n")[0].decode())
            opcode, _ = await read_frame(reader)
            assert opcode == BINARY
            writer.write(frame(BINARY, json.dumps(NODE).encode()))
        self.seen["connected"] += 1
        pinging = asyncio.create_task(self._ping(writer))
        try:
            while True:
                opcode, payload = await read_frame(reader)
                if opcode == PING:
                    self.seen["pings of the server"] += 1
                    writer.write(frame(PONG, payload))
                elif opcode == CLOSE:
                    raise ConnectionError(f"closed: {payload!r}")
        finally:
            pinging.cancel()
            writer.close()

    async def _ping(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            writer.write(frame(PING, b"ping"))
            self.seen["pings of agents"] += 1


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the first byte and the payload of a frame of a server."""
    first, length = await reader.readexactly(2)
    if length == 126:
        (length,) = struct.unpack(">H", await reader.readexactly(2))
    return first, await reader.readexactly(length)


def run(pipe: Pipe, port: int, tokens: list[str], has_websockets: bool, has_traffic: bool) -> None:
    """Run agents in this process, see ``Agents.run``."""
    allow_connections()
    pipe.send("ready")

    async def live() -> None:
        await Agents(port, tokens, has_websockets, has_traffic).run(pipe)

    uvloop.run(live())
