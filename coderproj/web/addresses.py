"""Addresses to listen on, their URLs, and the caller's address of a request. Nothing here imports Django."""

import http.client
import ipaddress
import socket
import urllib.request
from collections.abc import Mapping, Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# The loopback address that reaches a server that listens on all addresses.
LOOPBACK_OF = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing listens there


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Port 0 is a free port, a host with a colon an IPv6 address; ``::`` includes IPv4.

    Raises OSError.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=both)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a free port of ``host``. Raises OSError if the host is not an address of this machine."""
    with listen(host, 0) as probe:
        return int(probe.getsockname()[1])


def url(host: str, port: int) -> str:
    """Return ``http://host:port``, with an IPv6 address in brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def local_url(host: str, port: int) -> str:
    """Return the URL at which this machine reaches a server that listens on ``host``."""
    return url(LOOPBACK_OF.get(host, host), port)


def shown_url(host: str, port: int) -> str:
    """Return the URL to show to users, with ``localhost`` if that reaches the server."""
    return url("localhost" if LOOPBACK_OF.get(host, host) in {"127.0.0.1", "::1"} else host, port)


def ask(address: str, headers: Mapping[str, str], *, seconds: float = 2) -> bytes | None:
    """Return the body of a server on this machine for a GET request, None unless the request succeeds.

    Ignores the proxy settings of the environment.
    """
    try:
        with _DIRECT.open(urllib.request.Request(address, headers=dict(headers)), timeout=seconds) as response:  # noqa: S310
            return bytes(response.read())
    except (OSError, ValueError, http.client.HTTPException):
        return None


def parse(text: str) -> str | None:
    """Return an address without port, brackets and zone, IPv4-mapped addresses as IPv4. None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)


def caller(peer: str, forwarded: str, trusted: Sequence[Network]) -> str | None:
    """Return the caller's address of a request, None if the peer has no address (a unix socket).

    ``forwarded`` is its ``X-Forwarded-For``. Each proxy appends the address of its own peer, so the header is read from
    the end, as long as the addresses are ``trusted`` proxies. At an entry that is not an address the last known proxy
    is returned.
    """
    address = parse(peer)
    for entry in reversed(forwarded.split(",") if forwarded and trusted else ()):
        if address is None or not _is_in(address, trusted):
            break
        before = parse(entry)
        if before is None:
            break
        address = before
    return address


def is_trusted(peer: str, trusted: Sequence[Network]) -> bool:
    """Return True if the peer's address is in one of these networks."""
    address = parse(peer)
    return address is not None and _is_in(address, trusted)


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in networks if network.version == parsed.version)


def network(address: str) -> str:
    """Return an IPv4 address, or the /64 network of an IPv6 address, because providers assign a /64 per customer."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address
