"""The hosts that installed providers may reach."""

import ipaddress

import pytest

from provisioning.engine.allowed_hosts import parse


@pytest.mark.parametrize(
    ("entries", "name", "is_allowed"),
    [
        (["api.example.com"], "api.example.com", True),
        (["API.example.com."], "api.example.com", True),
        (["api.example.com:443"], "api.example.com", True),
        (["api.example.com"], "www.api.example.com", False),
        (["*.example.com"], "a.b.example.com", True),
        (["*.example.com"], "example.com", False),
        (["*.example.com"], "badexample.com", False),
        (["*"], "anything.example.org", True),
        (["10.0.0.0/8"], "api.example.com", False),
        (["127.0.0.1:80"], "localhost", True),
        ([], "api.example.com", False),
    ],
)
def test_names(entries: list[str], name: str, is_allowed: bool) -> None:
    assert parse(entries).allows_name(name) is is_allowed


@pytest.mark.parametrize(
    ("entries", "address", "port", "names", "is_allowed"),
    [
        (["10.0.0.0/8"], "10.1.2.3", 443, (), True),
        (["10.0.0.0/8:6443"], "10.1.2.3", 443, (), False),
        (["10.0.0.1"], "10.0.0.2", 443, (), False),
        (["api.example.com"], "203.0.113.1", 443, ("api.example.com",), True),
        (["api.example.com"], "203.0.113.1", 443, (), False),
        (["api.example.com:443"], "203.0.113.1", 22, ("api.example.com",), False),
        # Loopback, link-local and metadata addresses must be named.
        (["api.example.com"], "127.0.0.1", 443, ("api.example.com",), False),
        (["*", "0.0.0.0/0"], "169.254.169.254", 80, ("metadata.example.com",), False),
        (["0.0.0.0/0"], "127.0.0.1", 80, (), False),
        (["0.0.0.0/0"], "100.100.100.200", 80, (), False),
        (["169.254.169.254"], "169.254.169.254", 80, (), True),
        (["127.0.0.0/8"], "127.0.0.1", 80, (), True),
        (["localhost:8080"], "127.0.0.1", 8080, (), True),
        (["localhost:8080"], "127.0.0.1", 8081, (), False),
    ],
)
def test_addresses(entries: list[str], address: str, port: int, names: tuple[str, ...], is_allowed: bool) -> None:
    found = parse(entries).allows_address(ipaddress.ip_address(address), port, frozenset(names))
    assert found is is_allowed


@pytest.mark.parametrize(
    "entry", ["a b", "http://example.com", "*.*.com", "example.com:0", "1.2.3", "10.0.0.0/33", "a..b", ""]
)
def test_invalid_entries_are_named(entry: str) -> None:
    with pytest.raises(ValueError, match="is not a host name" if entry != "example.com:0" else "has no valid port"):
        parse([entry])
