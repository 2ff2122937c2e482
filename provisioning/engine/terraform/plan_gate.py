"""Pass on the connections of an installed provider to allowed hosts, from outside of its network namespace.

``namespace_gate`` leaves the provider's process one way out: the two sockets that this module serves. Names are looked
up and connections are opened here, so nothing in the provider's process can avoid the check. A lookup answers with an
address of this gate alone, which stands for the name: so the name of a connection is known when it is opened.
"""

import ipaddress
import logging
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

from provisioning.engine.allowed_hosts import Address, AllowedHosts
from provisioning.engine.namespace_gate import READY

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 256
CONNECT_SECONDS = 10.0
MAX_NAMES = 4096
NAMES = ipaddress.IPv4Network("198.18.0.0/15")  # reserved for tests of networks: no host has such an address
_START_SECONDS = 20.0
_CHUNK = 1 << 16
_SO_ORIGINAL_DST = 80
_RESET = struct.pack("ii", 1, 0)  # close a connection with a reset
_NAME_ERROR, _IPV4, _INTERNET, _ANSWER_SECONDS = 3, 1, 1, 5


class PlanGate:
    """The way out of one provider's namespace, from its ``start`` until ``close``.

    ``refused`` receives each host that the provider wanted and that is not allowed, as ``host:port`` or a name.
    ``networks`` are those whose connections must lead to the gate.
    """

    def __init__(self, hosts: AllowedHosts, refused: Callable[[str], None]) -> None:
        self._hosts = hosts
        self._refused = refused
        self.networks = (f"{NAMES}:0", *hosts.redirected)
        self._channel, self.child_channel = socket.socketpair()
        self._names: dict[str, Address] = {}  # the address that stands for a name
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._is_closed = False

    def start(self) -> str:
        """Receive the sockets of the namespace, after the process has been started. Returns why there are none."""
        self.child_channel.close()
        self._channel.settimeout(_START_SECONDS)
        try:
            message, descriptors, _, _ = socket.recv_fds(self._channel, 1024, 2)
        except OSError as error:
            return f"the network namespace is not ready: {error}"
        finally:
            self._channel.close()
        sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        if message != READY or len(sockets) != 2:
            for one in sockets:
                one.close()
            return message.decode(errors="replace") or "the process ended before its network namespace was ready"
        for one, serve in zip(sockets, (self._accept, self._answer_names), strict=True):
            self._keep(one)
            threading.Thread(target=serve, args=(one,), name="plan-gate", daemon=True).start()
        return ""

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            self._is_closed = True
            for one in (*self._sockets, self._channel, self.child_channel):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self._channel.close()
        self.child_channel.close()

    def _keep(self, one: socket.socket) -> None:
        with self._lock:
            self._sockets.add(one)
            if self._is_closed:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _drop(self, one: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(one)
        one.close()

    # ------------------------------------------------------------------ connections
    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while not self._is_closed:
                client, _ = listener.accept()
                if not self._slots.acquire(blocking=False):
                    client.close()
                    continue
                self._keep(client)
                threading.Thread(target=self._serve, args=(client,), name="plan-gate", daemon=True).start()
        self._drop(listener)

    def _serve(self, client: socket.socket) -> None:
        try:
            wanted = client.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16)
            address, port = ipaddress.IPv4Address(wanted[4:8]), struct.unpack_from(">H", wanted, 2)[0]
            server = self._connect(address, port)
            server.settimeout(None)
            self._keep(server)
            try:
                back = threading.Thread(target=_pass_on, args=(server, client), name="plan-gate", daemon=True)
                back.start()
                _pass_on(client, server)
                back.join()
            finally:
                self._drop(server)
        except OSError:
            with suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        finally:
            self._drop(client)
            self._slots.release()

    def _connect(self, address: Address, port: int) -> socket.socket:
        """Open a connection to an address, or to the name that it stands for. Raises OSError."""
        if address not in NAMES:
            if not self._hosts.allows_address(address, port):
                self._refused(f"{address}:{port}")
                raise ConnectionRefusedError
            return socket.create_connection((str(address), port), timeout=CONNECT_SECONDS)
        name = next((name for name, known in list(self._names.items()) if known == address), "")
        found = [one for one in _addresses(name) if self._hosts.allows_address(one, port, frozenset({name}))]
        if not found:
            self._refused(f"{name}:{port}")
            raise ConnectionRefusedError
        for number, one in enumerate(found):
            try:
                return socket.create_connection((str(one), port), timeout=CONNECT_SECONDS)
            except OSError:
                if number + 1 == len(found):
                    raise
        raise ConnectionRefusedError

    # ------------------------------------------------------------------ names
    def _answer_names(self, server: socket.socket) -> None:
        with suppress(OSError):
            while not self._is_closed:
                query, caller = server.recvfrom(4096)
                if query and self._slots.acquire(blocking=False):
                    threading.Thread(
                        target=self._answer, args=(server, query, caller), name="plan-gate", daemon=True
                    ).start()
        self._drop(server)

    def _answer(self, server: socket.socket, query: bytes, caller: tuple[str, int]) -> None:
        try:
            name, kind, end = _question(query)
            found = self._look_up(name) if kind == _IPV4 else []
            is_known = self._hosts.allows_name(name)
            code = 0 if is_known and (found or kind != _IPV4) else _NAME_ERROR
            header = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(found), 0, 0)
            answers = b"".join(
                struct.pack(">HHHIH", 0xC00C, _IPV4, _INTERNET, _ANSWER_SECONDS, 4) + address.packed
                for address in found
            )
            server.sendto(header + query[12:end] + answers, caller)
        except (OSError, ValueError, struct.error, IndexError):
            logger.debug("A query of an installed provider could not be answered", exc_info=True)
        finally:
            self._slots.release()

    def _look_up(self, name: str) -> list[Address]:
        """Return the address that stands for an allowed name, or nothing if it does not exist."""
        if not self._hosts.allows_name(name):
            self._refused(name)
            return []
        if not _addresses(name):
            return []
        with self._lock:
            if name not in self._names and len(self._names) < MAX_NAMES:
                self._names[name] = NAMES[len(self._names) + 1]
            return [self._names[name]] if name in self._names else []


def _addresses(name: str) -> list[Address]:
    """Return the addresses of a name, looked up with the configuration of this machine."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(name, None, 0, socket.SOCK_STREAM)} if name else set()
    except (OSError, UnicodeError):
        return []
    # Zones (fe80::1%eth0) belong to link-local addresses, which are not reachable by name.
    return sorted((ipaddress.ip_address(one) for one in found if "%" not in one), key=lambda one: (one.version, one))


def _question(query: bytes) -> tuple[str, int, int]:
    """Return name, type and end of the question in a DNS query. Raises ValueError, IndexError or struct.error."""
    labels, place = [], 12
    while length := query[place]:
        if length > 63:
            raise ValueError("a compressed name in a question")
        labels.append(query[place + 1 : place + 1 + length].decode("ascii"))
        place += 1 + length
    kind, group = struct.unpack_from(">HH", query, place + 1)
    if group != _INTERNET:
        raise ValueError("not an internet name")
    return ".".join(labels).lower(), kind, place + 5


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until the source ends, then end the other direction's input."""
    try:
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
