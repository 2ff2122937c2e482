"""Frames: one byte for the type, four for the length of the payload, the payload (contract, §5C.4)."""

from enum import IntEnum
from struct import Struct

HEADER = Struct(">BI")
# The same with the key that begins the payload of a packet.
PACKET_HEADER = Struct(">BI32s")
KEY_BYTES = 32
# Bytes of a packet that is passed on.
MAX_PACKET = 64 * 1024
# Bytes of the payload of a client info. Clients send about 150.
MAX_INFO = 16 * 1024
# Bytes of a payload of an unknown type, which is skipped.
MAX_UNKNOWN = 1024 * 1024
PING_BYTES = 8
MAGIC = b"DERP\xf0\x9f\x94\x91"
VERSION = 2


class Frame(IntEnum):
    """The types of frames that the relay sends or understands."""

    SERVER_KEY = 0x01
    CLIENT_INFO = 0x02
    SERVER_INFO = 0x03
    SEND = 0x04
    RECEIVE = 0x05
    KEEP_ALIVE = 0x06
    NOTE_PREFERRED = 0x07
    PEER_GONE = 0x08
    PING = 0x12
    PONG = 0x13


# Frames of a mesh of relays. Nobody has a key for them here.
MESH = frozenset({0x09, 0x0A, 0x10, 0x11})
# The lengths of the payloads that clients send after the handshake, the smallest and the largest.
LENGTHS: dict[int, tuple[int, int]] = {
    Frame.SEND: (KEY_BYTES, KEY_BYTES + MAX_PACKET),
    Frame.NOTE_PREFERRED: (1, 1),
    Frame.PING: (PING_BYTES, PING_BYTES),
    Frame.PONG: (PING_BYTES, PING_BYTES),
}
ANY_LENGTH = (0, MAX_UNKNOWN)


class BadFrame(Exception):
    """A frame is not allowed here. The message says why; the connection is closed."""


def frame(kind: Frame, payload: bytes = b"") -> bytes:
    """Return a frame."""
    return HEADER.pack(kind, len(payload)) + payload


def check_length(kind: int, length: int) -> None:
    """Raise BadFrame for a frame that a client may not send after the handshake, by its type and length."""
    if kind in MESH:
        raise BadFrame(f"frames of type {kind:#04x} are for a mesh of relays")
    smallest, largest = LENGTHS.get(kind, ANY_LENGTH)
    if not smallest <= length <= largest:
        raise BadFrame(f"a frame of type {kind:#04x} has {length} bytes")
