"""Tasks, and the frames that carry them between the server and its bounded processes."""

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

Argument = TypeVar("Argument")
Result = TypeVar("Result")

MAX_FRAME_BYTES = 64 * 1024 * 1024
_LENGTH = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Task(Generic[Argument, Result]):
    """A function for a bounded process. ``path`` is the task's own place, ``module:NAME``.

    Argument and result are sent as MessagePack and decoded by their types. ``cpu_seconds`` limits the processor time,
    ``seconds`` the time until the result.
    """

    path: str
    function: Callable[[Argument], Result]
    argument: Any
    result: Any
    cpu_seconds: int = 2
    seconds: float = 10.0

    @property
    def module(self) -> str:
        return self.path.partition(":")[0]


class Order(msgspec.Struct, array_like=True):
    """A call. ``argument`` is MessagePack."""

    name: str
    argument: bytes
    cpu_seconds: int


class Reply(msgspec.Struct, array_like=True):
    """A result as MessagePack, or the reason why there is none. ``is_last``: the process ends after it."""

    result: bytes = b""
    error: str = ""
    over_limit: bool = False
    is_last: bool = False


def send_frame(channel: socket.socket, message: Order | Reply) -> None:
    """Send a message with its length before it. Raises OSError."""
    data = msgspec.msgpack.encode(message)
    channel.sendall(_LENGTH.pack(len(data)))
    channel.sendall(data)


def receive_frame(receive: Callable[[int], bytes]) -> bytes | None:
    """Return the next message; None if the other side has closed the channel, or the message is too long."""
    head = _exactly(receive, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    return None if length > MAX_FRAME_BYTES else _exactly(receive, length)


def _exactly(receive: Callable[[int], bytes], count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        piece = receive(min(count - len(parts), 1 << 20))
        if not piece:
            return None
        parts += piece
    return bytes(parts)
