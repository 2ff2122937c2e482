"""The relay through loopback, beside a plain forwarder of TCP and ``iperf3`` through that forwarder.

Sender and receiver are processes. Through the relay they are an agent and a client of it: the sender sends packets of a
tunnel's size as fast as its socket takes them, and the receiver counts those that arrive. The forwarder runs on the
same event loop, copies bytes between the same number of sockets, and waits for slow receivers; the relay must not wait,
and drops. Without ``iperf3``, only the forwarder is the reference. The runs take turns.
"""

import asyncio
import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe

import uvloop
from nacl.public import PrivateKey

from coderproj.base.processes import proportional_memory
from templates_app.agents.relay.server import Limits, Relay
from tests.bench.jobs import Goals
from tests.templates_app.agents.relay.clients import CLIENT_INFO, REQUEST, Client, Rooms, client_info, frame

SECONDS, RUNS = 2.0, 5
# Bytes of an encrypted packet of a tunnel with an MTU of 1,280.
PACKET = 1312
BATCH = 40
GOAL_MBITS = 100.0
# Packets that a sender with a window has on their way.
WINDOW = 24
# Clients that read nothing, and the goal for each in KiB: what operators are promised.
SLOW, GOAL_KIB = 200, 160
PROCESSES = get_context("spawn")


# ---------------------------------------------------------------------- the two servers, each in a process
def serve_relay(pipe: Pipe, keys: list[bytes]) -> None:
    """Run a relay for an agent and clients. Sends its port, and when it is asked the number of its connections, its
    memory and its processor time."""

    async def run() -> None:
        rooms = Rooms()
        agent, *clients = (Client(PrivateKey(key)) for key in keys)
        rooms.add(agent, *clients)
        relay = Relay(PrivateKey.generate(), rooms.directory, Limits(handshakes_of_address=SLOW))
        listening = socket.create_server(("127.0.0.1", 0))
        await relay.start(listening)
        pipe.send(listening.getsockname()[1])
        await answer(pipe, lambda: (len(relay.connections), proportional_memory(os.getpid()), time.process_time()))

    uvloop.run(run())


class Forwarding(asyncio.Protocol):
    """Copies what it receives to the other side, and stops reading while that is slow."""

    def __init__(self, other: "Forwarding | None" = None, target: int = 0) -> None:
        self.other, self.target = other, target
        self.transport: asyncio.Transport
        self._early: list[bytes] = []

    def connection_made(self, transport) -> None:
        self.transport = transport
        if self.other is None:
            self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        _, other = await asyncio.get_running_loop().create_connection(
            lambda: Forwarding(self), "127.0.0.1", self.target
        )
        for data in self._early:
            other.transport.write(data)
        self.other = other

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        else:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.close()


def serve_forwarder(pipe: Pipe, target: int) -> None:
    """Forward connections to a port of loopback. Sends its port."""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Forwarding(target=target), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await answer(pipe, lambda: None)

    uvloop.run(run())


async def answer(pipe: Pipe, figures) -> None:
    """Send figures for each message, until the other end closes."""
    with suppress(EOFError):
        while True:
            await asyncio.to_thread(pipe.recv)
            pipe.send(figures())


@contextmanager
def serving(serve, *arguments) -> Iterator[tuple[Pipe, int]]:
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=serve, args=(theirs, *arguments))
    process.start()
    theirs.close()
    try:
        yield ours, ours.recv()
    finally:
        ours.close()
        process.join(10)
        process.kill()


# ---------------------------------------------------------------------- senders and receivers
def connected(port: int, key: PrivateKey) -> socket.socket:
    """Return a socket after the handshake with the relay."""
    found = socket.create_connection(("127.0.0.1", port))
    found.sendall(REQUEST)
    data = b""
    while len(data.partition(b"\r\n\r\n")[2]) < 45:
        data += found.recv(1024)
    server_key = data.partition(b"\r\n\r\n")[2][13:45]
    found.sendall(frame(CLIENT_INFO, client_info(key, server_key)))
    received = b""
    while len(received) < 5 or len(received) < 5 + struct.unpack_from(">I", received, 1)[0]:
        received += found.recv(1024)
    return found


def receive(pipe: Pipe, port: int, key: bytes) -> None:
    """Count the bytes that the relay passes on, until a second without any. Sends them with the seconds they took."""
    with connected(port, PrivateKey(key)) as found:
        pipe.send("ready")
        pipe.send(count(found))


def count(found: socket.socket) -> tuple[int, float]:
    buffer, total, began, last = bytearray(1 << 18), 0, 0.0, 0.0
    found.settimeout(5)
    with suppress(TimeoutError):
        while size := found.recv_into(buffer):
            last = time.monotonic()
            began = began or last
            total += size
            found.settimeout(1)
    return total, last - began


def measure_relay(pipe: Pipe, port: int, keys: list[bytes]) -> dict[str, float]:
    """Send for SECONDS through the relay. Returns Mbit/s of packets that arrived, the share of those that did not, and
    microseconds of the relay's processor time for each packet."""
    pipe.send(None)
    before = pipe.recv()
    with serving(receive, port, keys[1]) as (receiver, _), connected(port, PrivateKey(keys[0])) as sender:
        packets = frame(4, bytes(PrivateKey(keys[1]).public_key) + os.urandom(PACKET)) * BATCH
        until = time.monotonic() + SECONDS
        sent = 0
        while time.monotonic() < until:
            sender.sendall(packets)
            sent += BATCH
        total, seconds = receiver.recv()
    pipe.send(None)
    after = pipe.recv()
    arrived = total / (37 + PACKET)
    return {
        "mbits": arrived * PACKET * 8 / seconds / 1e6,
        "lost": 1 - arrived / sent,
        "cpu_us": (after[2] - before[2]) / sent * 1e6,
    }


def answer_windows(pipe: Pipe, port: int, keys: list[bytes]) -> None:
    """Answer each half of a window, like a tunnel's receiver."""
    packet = 37 + PACKET
    with connected(port, PrivateKey(keys[1])) as found:
        pipe.send("ready")
        answer_frame = frame(4, bytes(PrivateKey(keys[0]).public_key) + b"received")
        buffer, total, answered = bytearray(1 << 18), 0, 0
        found.settimeout(10)
        with suppress(TimeoutError, ConnectionError):
            while size := found.recv_into(buffer):
                total += size
                while total - answered >= packet * WINDOW // 2:
                    answered += packet * WINDOW // 2
                    found.sendall(answer_frame)


def measure_memory() -> float:
    """Return the KiB of the relay's memory for each of SLOW connections whose clients read nothing, while an agent
    sends each of them more than can wait."""
    keys = [PrivateKey.generate() for _ in range(SLOW + 1)]
    with serving(serve_relay, list(map(bytes, keys))) as (pipe, port), ExitStack() as stack:
        agent, *_ = [stack.enter_context(connected(port, key)) for key in keys]
        pipe.send(None)
        _, before, _ = pipe.recv()
        for _ in range(10):
            for key in keys[1:]:
                agent.sendall(frame(4, bytes(key.public_key) + os.urandom(PACKET)) * BATCH * 2)
        agent.sendall(frame(0x12, b"all read"))
        agent.recv(13, socket.MSG_WAITALL)
        pipe.send(None)
        count, after, _ = pipe.recv()
        assert count == SLOW + 1
    return (after - before) / SLOW / 1024


def measure_window(port: int, keys: list[bytes]) -> float:
    """Send for SECONDS with WINDOW packets on their way, so that none is dropped. Returns Mbit/s."""
    with serving(answer_windows, port, keys), connected(port, PrivateKey(keys[0])) as sender:
        half = frame(4, bytes(PrivateKey(keys[1]).public_key) + os.urandom(PACKET)) * (WINDOW // 2)
        sender.sendall(half)
        began = time.monotonic()
        answers = 0
        while time.monotonic() < began + SECONDS:
            sender.sendall(half)
            sender.recv(4096)
            answers += 1
        seconds = time.monotonic() - began
    return answers * (WINDOW // 2) * PACKET * 8 / seconds / 1e6


def measure_forwarder() -> dict[str, float]:
    """Send the same bytes through the plain forwarder. Returns Mbit/s."""
    with (
        socket.create_server(("127.0.0.1", 0)) as target,
        serving(serve_forwarder, target.getsockname()[1]) as (_, port),
    ):
        sender = PROCESSES.Process(target=send_plain, args=(port,))
        sender.start()
        accepted = target.accept()[0]
        with accepted:
            total, seconds = count(accepted)
        sender.join()
    return {"mbits": total * 8 / seconds / 1e6}


def send_plain(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as found:
        packets = frame(4, os.urandom(32 + PACKET)) * BATCH
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            found.sendall(packets)


def measure_iperf3() -> float | None:
    """Return Mbit/s of iperf3 through the plain forwarder, None if it is not installed."""
    if shutil.which("iperf3") is None:
        return None
    with socket.create_server(("127.0.0.1", 0)) as probe:
        target = probe.getsockname()[1]
    server = subprocess.Popen(["iperf3", "-s", "-1", "-B", "127.0.0.1", "-p", str(target)], stdout=subprocess.DEVNULL)
    try:
        with serving(serve_forwarder, target) as (_, port):
            time.sleep(0.5)
            command = ["iperf3", "-c", "127.0.0.1", "-p", str(port), "-t", str(SECONDS), "-J"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]) / 1e6
    finally:
        server.kill()
        server.wait()


# ---------------------------------------------------------------------- figures
def measure() -> dict[str, float | None]:
    """Return the medians of all runs."""
    keys = [bytes(PrivateKey.generate()) for _ in range(2)]
    through: list[dict[str, float]] = []
    windows: list[float] = []
    plain: list[float] = []
    iperf: list[float] = []
    with serving(serve_relay, keys) as (pipe, port):
        for _ in range(RUNS):
            through.append(measure_relay(pipe, port, keys))
            windows.append(measure_window(port, keys))
            plain.append(measure_forwarder()["mbits"])
            if (mbits := measure_iperf3()) is not None:
                iperf.append(mbits)
    return {
        **{name: statistics.median(one[name] for one in through) for name in through[0]},
        "slowest": min(one["mbits"] for one in through),
        "window": statistics.median(windows),
        "plain": statistics.median(plain),
        "iperf3": statistics.median(iperf) if iperf else None,
        "kib": measure_memory(),
    }


def main() -> int:
    goals = Goals()
    print(f"-- the relay (load {os.getloadavg()[0]:.1f})", flush=True)
    found = measure()
    mbits, plain = found["mbits"] or 0, found["plain"] or 1
    goals.at_least("packets through the relay, as fast as they can be sent", mbits, GOAL_MBITS, " Mbit/s")
    goals.at_least(
        "packets through the relay, a window at a time, none lost", found["window"] or 0, GOAL_MBITS, " Mbit/s"
    )
    goals.at_most("memory for a client that reads nothing", found["kib"] or 0, GOAL_KIB, " KiB")
    print(
        f"       {mbits / plain:.2f} of a plain TCP forwarder ({plain:,.0f} Mbit/s); slowest {found['slowest']:,.0f};"
        f" {found['lost']:.1%} of the packets dropped; {found['cpu_us']:.1f} us of CPU a packet"
    )
    if found["iperf3"] is None:
        print("       iperf3 is not installed: the forwarder alone is the reference")
    else:
        print(f"       {mbits / found['iperf3']:.2f} of iperf3 through that forwarder ({found['iperf3']:,.0f} Mbit/s)")
    print(goals.summary())
    return 0


if __name__ == "__main__":
    sys.exit(main())
