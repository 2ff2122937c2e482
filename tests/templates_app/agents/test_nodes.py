"""Nodes: read from messages, checked, packed."""

import json

import pytest

from templates_app.agents.coordination import nodes
from templates_app.agents.coordination.nodes import BadNode, NodeReader, NodeTooLong, checked, packed
from templates_app.agents.coordination.rooms import MAX_WAITING, Peer
from tests.templates_app.agents.callers import node


def read(*messages: bytes) -> list[dict]:
    reader = NodeReader()
    return [json.loads(found) for message in messages for found in reader.feed(message)]


def test_node_is_passed_on_as_it_is():
    sent = node(1)
    assert read(json.dumps(sent).encode()) == [sent]


def test_ids_keep_all_their_digits():
    assert read(json.dumps(node(2**63 - 1)).encode())[0]["id"] == 2**63 - 1


def test_a_node_in_several_messages_and_several_in_one():
    """CRD-06."""
    one, two = json.dumps(node(1)).encode(), json.dumps(node(2)).encode()
    assert [found["id"] for found in read(one + b"\n" + two)] == [1, 2]
    assert [found["id"] for found in read(one[:99], one[99:] + two[:3], two[3:])] == [1, 2]
    assert [found["id"] for found in read(*(one[at : at + 1] for at in range(len(one))))] == [1]


def test_text_that_is_cut_within_a_character():
    text = json.dumps(node(1) | {"note": "é"}, ensure_ascii=False).encode()
    at = text.index("é".encode()) + 1
    assert len(read(text[:at], text[at:])) == 1


@pytest.mark.parametrize(
    "message",
    [
        b"[]",
        b"1",
        b'"x"',
        b"null",
        b"x",
        b"\xff",
        b'"\\ud800"',
        b'{"id": NaN}',
        b'{"id": 1' + b"0" * 5000 + b"}",
        b"{}",
    ],
    ids=lambda message: repr(message[:12]),
)
def test_what_is_not_a_node(message):
    with pytest.raises(BadNode):
        read(message)


@pytest.mark.parametrize("message", [b'{"x": "' + b"a" * 20_000, b'{"x": "' + b"a" * 20_000 + b'"}', b"{" * 17_000])
def test_nodes_are_bounded(message):
    with pytest.raises(BadNode):
        read(message)
    with pytest.raises(NodeTooLong):
        read(b'{"x": "', *([b"a" * 4000] * 5))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", -1),
        ("id", 2**63),
        ("id", "1"),
        ("id", True),
        ("as_of", None),
        ("as_of", "x" * 41),
        ("as_of", "\x00"),
        ("as_of", "\ud800"),
        ("key", "nodekey:1"),
        ("key", f"discokey:{'a' * 64}"),
        ("disco", None),
        ("preferred_derp", -1),
        ("preferred_derp", "900"),
    ],
)
def test_wrong_fields_are_named(name, value):
    with pytest.raises(BadNode, match=name):
        checked(node(1) | {name: value})


def test_wrong_entries_are_left_out():
    """AGT-32, W59: a peer with odd latencies or endpoints is still found."""
    odd = node(1) | {
        "derp_latency": {
            "x": 1,
            "900-v4": 0.5,
            "901-v4": -1,
            "902-v4": "1",
            "903-v5": 1,
            "904-v6": 1e400,
            "5-v6": True,
        },
        "endpoints": [
            "10.0.0.5:41641",
            "[fe80::1]:1",
            "fe80::1:1",
            "host:1",
            "10.0.0.5",
            "10.0.0.5:99999",
            1,
            "x" * 65,
        ],
        "addresses": ["fd7a::1/128", "fd7a::1", "x", None],
        "allowed_ips": "fd7a::1/128",
        "unknown": {"deep": [1]},
    }
    found = checked(odd)
    assert found["derp_latency"] == {"900-v4": 0.5}
    assert found["endpoints"] == ["10.0.0.5:41641", "[fe80::1]:1"]
    assert (found["addresses"], found["allowed_ips"]) == (["fd7a::1/128"], [])
    assert "unknown" not in found


SCOPES = ["eth0", "\x01" * 40, "\ud800", "é", '"' * 40, "\n"]


@pytest.mark.parametrize("scope", SCOPES, ids=ascii)
def test_scopes_of_addresses_are_left_out(scope):
    """They are any text, which JSON can make six times as long, and mean nothing to others."""
    sent = node(1) | {
        "endpoints": [f"[fe80::1%{scope}]:1"] * 32 + ["[fe80::1]:1"],
        "addresses": [f"fe80::1%{scope}/64", "fe80::1/64"],
        "allowed_ips": [f"fe80::1%{scope}/128"] * 8,
    }
    (found,) = read(json.dumps(sent).encode())
    assert (found["endpoints"], found["addresses"], found["allowed_ips"]) == (["[fe80::1]:1"], ["fe80::1/64"], [])


@pytest.mark.parametrize("value", ["10.0.0.5:\u0663", "\uff110.0.0.5:1", "10.0.0.5:1\n", "10.0.0.5:\x00"])
def test_endpoints_are_plain(value):
    assert checked(node(1) | {"endpoints": [value]})["endpoints"] == []


def test_a_number_too_large_for_a_latency():
    found = read(json.dumps(node(1) | {"derp_latency": {"1-v4": 10**400, "2-v4": 0.5}}).encode())
    assert found[0]["derp_latency"] == {"2-v4": 0.5}


def test_largest_node_fits_into_a_notification():
    """PostgreSQL refuses payloads of 8,000 bytes."""
    long = "[2001:0db8:1111:2222:3333:4444:5555:6666]:65535"
    prefix = "2001:0db8:1111:2222:3333:4444:5555:6666/128"
    huge = node(2**63 - 1) | {
        "derp_latency": {f"{number}-v4": 0.123456789012345 for number in range(10**9, 10**9 + 10_000)},
        "endpoints": [long] * 1000,
        "addresses": [prefix] * 1000,
        "allowed_ips": [prefix] * 1000,
        "as_of": "2" * 40,
    }
    found = checked(huge)
    assert (len(found["endpoints"]), len(found["addresses"]), len(found["derp_latency"])) == (32, 8, 32)
    assert len(json.dumps(found)) < 7000


def test_arrays_are_short():
    """AGT-33, W53: agents close the connection at 32 KiB."""
    many = [json.dumps(node(number)).encode() for number in range(300)]
    arrays = list(packed(many))
    assert max(map(len, arrays)) <= nodes.MAX_MESSAGE
    assert [found["id"] for array in arrays for found in json.loads(array)] == list(range(300))
    assert list(packed([])) == [b"[]"]
    assert list(packed([b"{}"])) == [b"[{}]"]


def test_nodes_that_wait_are_bounded():
    """A slow reader: the newest node of each sender stays, then the newest at all."""
    peer = Peer(is_greeted=True)
    for number in range(10_000):
        peer.put(f"sender {number % 3}", b"%d" % number)
    assert len(peer._waiting) <= MAX_WAITING
    newest = dict(peer._waiting)
    assert newest == {"sender 0": b"9999", "sender 1": b"9997", "sender 2": b"9998"}
    for number in range(10_000):
        peer.put(f"other {number}", b"%d" % number)
    assert len(peer._waiting) <= MAX_WAITING
    assert peer._waiting[-1] == ("other 9999", b"9999")
