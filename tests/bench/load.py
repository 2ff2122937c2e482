"""A small load generator, and the CPU time of process trees."""

import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from coderproj.base.processes import descendants

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """The result of a load. ``cpu_ms`` is CPU time of the watched process trees per request."""

    requests: int
    seconds: float
    cpu_ms: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def cpu_seconds(roots: list[int]) -> float:
    """Return the CPU time that the process trees below these processes have used so far."""
    total = 0
    for root in roots:
        for pid in [root, *descendants(root)]:
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


class Connection:
    """A keep-alive connection that repeats one GET. ``size`` is the last response in bytes, including its head."""

    size = 0

    def __init__(self, url: str, path: str, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self.socket = socket.create_connection((parts.hostname, parts.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = [f"GET {path} HTTP/1.1", f"Host: {parts.netloc}", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
        self.request = "\r\n".join(lines).encode()

    def send(self) -> tuple[int, float]:
        """Send the request and read the whole response. Return the status and the seconds until the first byte."""
        began = time.perf_counter()
        self.socket.sendall(self.request)
        received = self.socket.recv(65536)
        first = time.perf_counter() - began
        while b"\r\n\r\n" not in received:
            received += self.socket.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        lower = head.lower()
        self.size = len(received)
        if b"content-length: " in lower:
            left = int(lower.split(b"content-length: ")[1].split(b"\r\n")[0]) - len(body)
            self.size += left
            while left > 0:
                left -= len(self.socket.recv(min(left, 1 << 20)))
        else:
            tail = body[-5:]
            while not tail.endswith(b"0\r\n\r\n"):
                more = self.socket.recv(1 << 20)
                self.size += len(more)
                tail = (tail + more)[-5:]
        return int(head[9:12]), first


def load(url: str, path: str, headers: dict[str, str], *, connections: int, seconds: float, watched: list[int]) -> Load:
    """Send requests on each connection, each as soon as the previous response is complete."""
    counts = [0] * connections
    end = time.perf_counter() + seconds

    def work(index: int) -> None:
        connection = Connection(url, path, headers)
        while time.perf_counter() < end:
            status, _ = connection.send()
            if status != 200:
                raise AssertionError(f"{path} returned {status}")
            counts[index] += 1
        connection.socket.close()

    before, began = cpu_seconds(watched), time.perf_counter()
    threads = [threading.Thread(target=work, args=(index,)) for index in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - began
    requests = sum(counts)
    return Load(requests, elapsed, (cpu_seconds(watched) - before) * 1000 / max(requests, 1))
