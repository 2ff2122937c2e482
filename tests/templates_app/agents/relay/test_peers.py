"""Which keys may connect, and whom each may send to."""

import sys
import uuid
from types import FrameType
from typing import Any

import pytest

from templates_app.agents.relay.peers import Claim, Directory

A, B, C, D = (letter * 32 for letter in (b"a", b"b", b"c", b"d"))
ROOM, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)
ADA, BOB = uuid.UUID(int=11), uuid.UUID(int=12)


class Connection:
    def __init__(self) -> None:
        self.gone: list[bytes] = []
        self.end_reason = ""

    def deliver(self, frames: bytes, packets: int) -> None:
        raise AssertionError

    def tell_gone(self, key: bytes) -> None:
        self.gone.append(key)

    def end(self, reason: str) -> None:
        self.end_reason = reason


def partners(directory: Directory) -> dict[bytes, set[bytes]]:
    return {key: set(peer.partners) for key, peer in directory.peers.items()}


def test_an_agent_and_its_clients_reach_each_other_and_nobody_else():
    directory = Directory()
    directory.replace_all(
        [Claim(1, ROOM, ROOM, A), Claim(2, ROOM, ADA, B), Claim(3, ROOM, BOB, C), Claim(4, OTHER, OTHER, D)]
    )
    assert partners(directory) == {A: {B, C}, B: {A}, C: {A}, D: set()}


def test_a_key_in_two_rooms():
    directory = Directory()
    claims = [Claim(1, ROOM, ROOM, A), Claim(2, ROOM, ADA, B), Claim(3, OTHER, ADA, B), Claim(4, OTHER, OTHER, C)]
    directory.replace_all(claims)
    assert partners(directory) == {A: {B}, B: {A, C}, C: {B}}
    directory.replace([ROOM], claims[:1])
    assert partners(directory) == {A: set(), B: {C}, C: {B}}
    directory.replace([ROOM], claims[:2])
    assert partners(directory) == {A: {B}, B: {A, C}, C: {B}}


def test_one_room_changes_and_the_others_stay():
    directory = Directory()
    directory.replace_all([Claim(1, ROOM, ROOM, A), Claim(2, OTHER, OTHER, B)])
    before = directory.peers[B]
    directory.replace([ROOM], [Claim(1, ROOM, ROOM, A), Claim(3, ROOM, ADA, C)])
    assert partners(directory) == {A: {C}, B: set(), C: {A}}
    assert directory.peers[B] is before
    directory.replace([ROOM], [])
    assert partners(directory) == {B: set()}


def test_a_removed_key_ends_its_connections_and_leaves_its_partners():
    directory = Directory()
    claims = [Claim(1, ROOM, ROOM, A), Claim(2, ROOM, ADA, B)]
    directory.replace_all(claims)
    agent, client = Connection(), Connection()
    directory.peers[A].connect(agent)
    directory.peers[B].connect(client)
    directory.replace_all(claims[:1])
    assert client.end_reason
    assert not agent.end_reason
    assert partners(directory) == {A: set()}


@pytest.mark.parametrize("is_agent", [False, True], ids=["of a client", "of an agent"])
def test_a_key_that_another_one_claims_too_stays_with_the_first(is_agent):
    """Who knows a key can neither send to it nor draw its packets."""
    directory = Directory()
    claims = [Claim(1, ROOM, ROOM, A), Claim(2, ROOM, ADA, B)]
    directory.replace_all(claims)
    client = Connection()
    directory.peers[B].connect(client)
    thief = Claim(3, OTHER, OTHER if is_agent else BOB, B)
    directory.replace([OTHER], [thief, Claim(4, OTHER, BOB if is_agent else OTHER, C)])
    assert partners(directory) == {A: {B}, B: {A}, C: set()}
    assert not client.end_reason
    # Once the first owner has gone, its connection ends, and the key is the other's.
    directory.replace([ROOM], claims[:1])
    assert client.end_reason
    assert partners(directory) == {A: set(), B: {C}, C: {B}}
    assert directory.peers[B].receiver is None


def test_a_waiting_handshake_goes_on_when_its_key_is_announced():
    directory, called = Directory(), []
    directory.when_known(A, lambda: called.append(A))
    directory.when_known(B, waiting_for_b := lambda: called.append(B))
    directory.stop_waiting(B, waiting_for_b)
    directory.replace_all([Claim(1, ROOM, ROOM, A), Claim(2, ROOM, ADA, B)])
    directory.replace_all([Claim(1, ROOM, ROOM, A)])
    assert called == [A]


def test_the_last_connection_receives_and_after_all_of_them_those_who_met_are_notified():
    """CRD-09."""
    directory = Directory()
    directory.replace_all([Claim(1, ROOM, ROOM, A), Claim(2, ROOM, ADA, B), Claim(3, ROOM, BOB, C)])
    agent, met, other = directory.peers[A], directory.peers[B], directory.peers[C]
    first, second, met_connection, other_connection = Connection(), Connection(), Connection(), Connection()
    met.connect(met_connection)
    other.connect(other_connection)
    agent.connect(first)
    agent.meet(met)
    agent.connect(second)
    assert agent.receiver is second
    agent.disconnect(second)
    assert agent.receiver is first
    assert met_connection.gone == []
    agent.disconnect(first)
    assert agent.receiver is None
    assert (met_connection.gone, other_connection.gone) == ([A], [])
    assert met.met == set()


def calls_of_a_change(clients: int, changed: Claim) -> int:
    """Return how many functions a directory calls to take a room of so many clients in which a key is new."""
    directory = Directory()
    claims = [Claim(1, ROOM, ROOM, A)]
    claims += [Claim(number, ROOM, uuid.UUID(int=number), number.to_bytes(32)) for number in range(100, 100 + clients)]
    directory.replace_all(claims)
    calls = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        directory.replace([ROOM], [*claims, changed])
    finally:
        sys.setprofile(before)
    assert len(directory.peers) == clients + 2
    assert changed.key in directory.peers
    return calls


@pytest.mark.parametrize("owner", [ADA, ROOM], ids=["of a client", "of the agent"])
def test_a_change_in_a_large_room_costs_what_its_size_asks_for(owner):
    """Otherwise one user who announces many keys stalls the relay for all."""
    changed = Claim(2, ROOM, owner, C)
    assert calls_of_a_change(512, changed) < 10 * calls_of_a_change(64, changed)


def test_partners_stay_mutual_whatever_changes():
    """Each step has the partners that a directory has that never knew another step."""
    steps = [
        [Claim(1, ROOM, ROOM, A), Claim(2, ROOM, ADA, B), Claim(3, OTHER, OTHER, C), Claim(4, OTHER, ADA, B)],
        [Claim(1, ROOM, ROOM, A), Claim(5, ROOM, BOB, B), Claim(3, OTHER, OTHER, C), Claim(4, OTHER, ADA, B)],
        [Claim(6, ROOM, ROOM, B), Claim(7, ROOM, ADA, A), Claim(3, OTHER, OTHER, C), Claim(8, OTHER, BOB, D)],
        [Claim(7, ROOM, ADA, A), Claim(9, ROOM, ROOM, A), Claim(10, ROOM, ROOM, D), Claim(8, OTHER, BOB, D)],
        [Claim(10, ROOM, ROOM, D), Claim(11, ROOM, BOB, C)],
    ]
    directory = Directory()
    for first in steps:
        for second in steps:
            directory.replace([ROOM, OTHER], first)
            directory.replace([ROOM, OTHER], second)
            fresh = Directory()
            fresh.replace_all(second)
            assert partners(directory) == partners(fresh)
            for one in directory.peers.values():
                assert all(partner is directory.peers[key] for key, partner in one.partners.items())
