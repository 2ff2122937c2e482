"""Nodes of agents and clients (contract, coordination exchange): JSON objects that say where a peer can be reached.

A peer sends a stream of JSON values, however it cuts them into messages. Only known fields are passed on, and no list
is longer than a peer needs, so a node fits into a notification of PostgreSQL.
"""

import codecs
import ipaddress
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from coderproj.base.json_text import to_json

# Characters of a node as a peer sends it.
MAX_NODE = 16 * 1024
# Bytes of a message to a peer: agents close the connection at 32 KiB.
MAX_MESSAGE = 16 * 1024
MAX_ENDPOINTS, MAX_ADDRESSES, MAX_LATENCIES = 32, 8, 32
MAX_ENDPOINT = 64
MAX_REGION = 2**31 - 1
MAX_ID = 2**63 - 1
MAX_TIME = 40
KEYS = {"key": re.compile("nodekey:[0-9a-f]{64}"), "disco": re.compile("discokey:[0-9a-f]{64}")}
REGION = re.compile(r"[0-9]{1,10}-v[46]", re.ASCII)
# The longest latency that is passed on, in seconds.
MAX_LATENCY = 3600.0


class BadNode(Exception):
    """What a peer sent is not a node. The message says what is wrong."""


class NodeTooLong(BadNode):
    """A node is longer than MAX_NODE."""


class NodeReader:
    """Reads the nodes of a peer from its messages."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the nodes that end in this message, checked and as JSON. Raises BadNode and NodeTooLong."""
        try:
            self._text += self._decoder.decode(data)
        except UnicodeDecodeError:
            raise BadNode("A node is UTF-8.") from None
        while self._text:
            self._text = self._text.lstrip(" \t\r\n")
            if not self._text:
                return
            if self._text[0] != "{":
                raise BadNode("A node is a JSON object.")
            try:
                value, end = DECODER.raw_decode(self._text)
            except json.JSONDecodeError:
                if len(self._text) > MAX_NODE:
                    raise NodeTooLong("A node is too long.") from None
                return  # the rest may follow
            except (ValueError, RecursionError):
                raise BadNode("A node is not valid JSON.") from None
            if end > MAX_NODE:
                raise NodeTooLong("A node is too long.")
            self._text = self._text[end:]
            try:
                yield to_json(checked(value)).strip()
            except UnicodeError:  # half a surrogate pair
                raise BadNode("The texts of a node are Unicode.") from None


def _reject(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


DECODER = json.JSONDecoder(parse_constant=_reject)


def checked(node: dict[str, Any]) -> dict[str, Any]:
    """Return the known fields of a node. Raises BadNode for a wrong key, id, time or region; leaves out what is wrong
    in lists of addresses, endpoints and latencies, without which peers still find each other (contract, W59)."""
    number = node.get("id")
    if not _is_integer(number, MAX_ID):
        raise BadNode("The id of a node is a positive 64-bit number.")
    found: dict[str, Any] = {"id": number, "as_of": node.get("as_of")}
    if not isinstance(found["as_of"], str) or len(found["as_of"]) > MAX_TIME or not _is_plain(found["as_of"]):
        raise BadNode("The field as_of of a node is a time.")
    for name, pattern in KEYS.items():
        value = node.get(name)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise BadNode(f"The field {name} of a node is not a key.")
        found[name] = value
    region = node.get("preferred_derp", 0)
    if not _is_integer(region, MAX_REGION):
        raise BadNode("The field preferred_derp of a node is the number of a region.")
    found["preferred_derp"] = region
    found["derp_latency"] = latencies_of(node.get("derp_latency"))
    for name in ("addresses", "allowed_ips"):
        found[name] = list(_kept(node.get(name), is_prefix, MAX_ADDRESSES))
    found["endpoints"] = list(_kept(node.get("endpoints"), is_endpoint, MAX_ENDPOINTS))
    return found


def latencies_of(latencies: Any) -> dict[str, float] | None:
    """Return the seconds by region and version of the Internet Protocol, None if there are none."""
    if not isinstance(latencies, dict):
        return None
    found: dict[str, float] = {}
    for name, seconds in latencies.items():
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if REGION.fullmatch(name) and is_number and 0 <= seconds <= MAX_LATENCY and len(found) < MAX_LATENCIES:
            found[name] = seconds
    return found or None


def is_prefix(text: str) -> bool:
    """Return True for a network, such as ``10.0.0.0/8``."""
    if not _is_plain(text) or "%" in text:
        return False
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def is_endpoint(text: str) -> bool:
    """Return True for an address with a port, such as ``10.0.0.5:41641`` or ``[fe80::1]:41641``.

    An address with a scope is not one: a scope means something on the sender's machine only, and can be any text.
    """
    if not _is_plain(text) or "%" in text:
        return False
    host, _, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    try:
        version = ipaddress.ip_address(host[1:-1] if is_bracketed else host).version
    except ValueError:
        return False
    return (version == 6) == is_bracketed and port.isdigit() and int(port) < 65536


def _kept(values: Any, is_valid: Any, limit: int) -> Iterator[str]:
    """Yield the first valid texts of a list."""
    for value in values if isinstance(values, list) else ():
        if limit and isinstance(value, str) and len(value) <= MAX_ENDPOINT and is_valid(value):
            limit -= 1
            yield value


def _is_plain(text: str) -> bool:
    """Return True if JSON needs one byte for most characters: ASCII without control characters."""
    return text.isascii() and text.isprintable()


def _is_integer(value: Any, largest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest


def packed(nodes: Iterable[bytes]) -> Iterator[bytes]:
    """Yield arrays of at most MAX_MESSAGE bytes with these nodes, an empty array if there are none."""
    message: list[bytes] = []
    size = 2
    for node in nodes:
        if message and size + len(node) + 1 > MAX_MESSAGE:
            yield b"[%b]" % b",".join(message)
            message, size = [], 2
        message.append(node)
        size += len(node) + 1
    yield b"[%b]" % b",".join(message)
