"""Request bodies as files, which Django reads while the client is still sending."""

import io
from collections.abc import Callable, MutableMapping
from typing import Any

# Bytes that are read, or collected for sending, at a time.
PIECE = 64 * 1024


class RequestBody(io.RawIOBase):
    """Reads ``head``, then the results of ``next_piece``. Wrap it in ``io.BufferedReader``.

    ``next_piece`` returns bytes and whether more follow. It raises an OSError if the client has disconnected, so that
    a truncated body never looks complete.
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
    """Return a chunked body, which has no Content-Length, as a file for Django, which reads CONTENT_LENGTH bytes.

    CONTENT_LENGTH becomes the length of a body of up to ``limit`` bytes. For a longer body it becomes ``limit + 1``,
    which views reject as too large, except those that read ``wsgi.input`` to its end: they get the whole body.
    """
    head = body.read(limit + 1)
    environ["CONTENT_LENGTH"] = str(len(head))
    if len(head) <= limit:
        return io.BytesIO(head)

    def rest() -> tuple[bytes, bool]:
        piece = body.read1(PIECE)
        return piece, bool(piece)

    return io.BufferedReader(RequestBody(rest, head), PIECE)
