"""A request's body as a file: what Django reads while the client is still sending."""

import io
from collections.abc import Callable, MutableMapping
from typing import Any

# How much is read, or put together for sending, at a time.
PIECE = 64 * 1024


class RequestBody(io.RawIOBase):
    """Reads what ``next_piece`` brings, after ``head``; wrap it in ``io.BufferedReader``.

    ``next_piece`` returns bytes and whether more follow, and raises an OSError when the rest cannot come: a body that
    was cut off never looks complete.
    """

    def __init__(self, next_piece: Callable[[], tuple[bytes, bool]], head: bytes = b"") -> None:
        self._next_piece = next_piece
        self._left = memoryview(head)
        self._more = True

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._left and self._more:
            piece, self._more = self._next_piece()
            self._left = memoryview(piece)
        count = min(len(target), len(self._left))
        target[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


def prepare_unmeasured(environ: MutableMapping[str, Any], body: io.BufferedIOBase, limit: int) -> io.BufferedIOBase:
    """A chunked body, whose length nobody announced, made readable for Django, which reads CONTENT_LENGTH bytes.

    Up to ``limit`` bytes it becomes a body of known length. A longer one is announced as ``limit + 1`` bytes, which
    is too much for every view but those that read ``wsgi.input`` to its end, and these get all of it.
    """
    head = body.read(limit + 1)
    environ["CONTENT_LENGTH"] = str(len(head))
    if len(head) <= limit:
        return io.BytesIO(head)

    def rest() -> tuple[bytes, bool]:
        piece = body.read1(PIECE)
        return piece, bool(piece)

    return io.BufferedReader(RequestBody(rest, head), PIECE)
