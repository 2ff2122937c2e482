"""Addresses: where to listen, what URL that is, and whom a request came from. Nothing here imports Django."""

import http.client
import ipaddress
import socket
import urllib.request
from collections.abc import Mapping, Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# What listens on every address is reached from here on the loopback.
LOOPBACK_OF = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - we look them up only


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. A host with a colon is an IPv6 address, and ``::`` takes IPv4 as
    well. Raises OSError.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=both)


def free_port(host: str = "127.0.0.1") -> int:
    """A port of ``host`` that nobody listens on. Raises OSError when the host is none of ours."""
    with listen(host, 0) as probe:
        return int(probe.getsockname()[1])


def url(host: str, port: int) -> str:
    """``http://host:port``, with an IPv6 address in brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def local_url(host: str, port: int) -> str:
    """The URL at which this machine reaches what listens on ``host``."""
    return url(LOOPBACK_OF.get(host, host), port)


def shown_url(host: str, port: int) -> str:
    """The URL to show to people: ``localhost`` where that leads there."""
    return url("localhost" if LOOPBACK_OF.get(host, host) in {"127.0.0.1", "::1"} else host, port)


def ask(address: str, headers: Mapping[str, str], *, seconds: float = 2) -> bytes | None:
    """What this machine's own server answers to a GET; None for anything but a success. A proxy that the environment
    names is passed by.
    """
    try:
        with _DIRECT.open(urllib.request.Request(address, headers=dict(headers)), timeout=seconds) as response:  # noqa: S310
            return bytes(response.read())
    except (OSError, ValueError, http.client.HTTPException):
        return None


def parse(text: str) -> str | None:
    """An address in its plain form, without a port, brackets or zone; an IPv4 address in IPv6 dress without the
    dress. None for anything else.
    """
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
    """Whom a request came from. ``forwarded`` is its ``X-Forwarded-For``, to which each proxy adds at the end whom it
    was asked by; so it is read from the end, and only as far as the proxies are ``trusted``. What is no address
    ends the reading: then the last proxy that is known counts. None when the peer has no address (a unix socket).
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
    """Whether a peer's address is one of these networks."""
    address = parse(peer)
    return address is not None and _is_in(address, trusted)


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in networks if network.version == parsed.version)
