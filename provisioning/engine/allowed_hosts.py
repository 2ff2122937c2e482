"""The hosts that installed providers may reach while a template is planned: ``PROVISIONER_PLAN_HOSTS``."""

import ipaddress
import re
from dataclasses import dataclass
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_ENTRIES = 200
_NAME = re.compile(r"(?:\*|(?:\*\.)?[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*)\.?")
# Addresses that must be named themselves: the machine, its link, and the metadata services of clouds.
_SPECIAL: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "224.0.0.0/3",
        "::/127",
        "::ffff:0:0/96",
        "fe80::/10",
        "fd00:ec2::254/128",
        "ff00::/8",
    )
)


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Names (``api.example.com``, ``*.example.com``, ``*``) and networks, each with a port, 0 for every port."""

    names: tuple[tuple[str, int], ...] = ()
    networks: tuple[tuple[Network, int], ...] = ()

    @property
    def redirected(self) -> tuple[str, ...]:
        """The IPv4 networks as ``10.0.0.0/8:443``, where port 0 stands for every port."""
        return tuple(f"{network}:{port}" for network, port in self.networks if network.version == 4)

    def allows_name(self, name: str) -> bool:
        """True if a name may be looked up."""
        return any(_matches(pattern, name) for pattern, _ in self.names)

    def allows_address(self, address: Address, port: int, names: frozenset[str] = frozenset()) -> bool:
        """True if a connection is allowed to an address that was found for ``names``.

        Loopback, link-local and metadata addresses are allowed only if an entry names them: a network of only such
        addresses, or ``localhost`` for loopback.
        """
        special = next((network for network in _SPECIAL if address in network), None)
        for allowed, wanted in self.networks:
            is_named = special is None or _is_within(allowed, special)
            if address in allowed and wanted in (0, port) and is_named:
                return True
        for pattern, wanted in self.names:
            if special is None and wanted in (0, port) and any(_matches(pattern, name) for name in names):
                return True
        return False


def parse(entries: list[str]) -> AllowedHosts:
    """Return the hosts of a list of names, wildcards, addresses and networks, each with an optional ``:port``.

    Raises ValueError, which names the entry.
    """
    if len(entries) > MAX_ENTRIES:
        raise ValueError(f"more than {MAX_ENTRIES} entries")
    names: list[tuple[str, int]] = []
    networks: list[tuple[Network, int]] = []
    for entry in entries:
        host, port = _split(entry)
        name = host.lower()
        if network := _network(host):
            networks.append((network, port))
            if network.is_loopback:
                names.append(("localhost", port))
        elif not _NAME.fullmatch(name) or name.replace(".", "").isdigit():
            raise ValueError(f"{entry!r} is not a host name, wildcard (*.example.com), address or network")
        else:
            names.append((name.rstrip("."), port))
            if name == "localhost":
                networks += [(ipaddress.ip_network(text), port) for text in ("127.0.0.1/32", "::1/128")]
    return AllowedHosts(tuple(names), tuple(networks))


def _split(entry: str) -> tuple[str, int]:
    """Split ``host:port`` and ``[2001:db8::1]:port``."""
    match = re.fullmatch(r"\[([^\]]*)\](?::(\d+))?|([^:]*):(\d+)", entry)
    host, port = (match[1] or match[3] or "", match[2] or match[4]) if match else (entry, None)
    number = int(port) if port else 0
    if port and not 0 < number < 65536:
        raise ValueError(f"{entry!r} has no valid port")
    return host, number


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _is_within(network: Network, outer: Network) -> bool:
    return network.network_address in outer and network.broadcast_address in outer


def _matches(pattern: str, name: str) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("*."):
        return name.endswith(pattern[1:]) and name != pattern[1:]
    return name == pattern
