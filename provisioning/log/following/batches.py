"""Batches of log lines, encoded once for all followers."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cached_property

from coderproj.base.times import moment_text

# A batch is sent in one piece, so this is also the granularity of flow control.
BATCH_BYTES = 64 * 1024

# The delimiters of the time in ``{"id":1,"created_at":"2026-01-31T12:00:00.25Z",…``.
TIME_BEGIN = b'"created_at":"'
TIME_END = b'Z"'


class Batch:
    """Consecutive lines: their ids, and the JSON of one ProvisionerJobLog for each."""

    def __init__(self, ids: list[int], lines: list[bytes]) -> None:
        self.ids = ids
        self.lines = lines
        self.size = sum(map(len, lines))

    @property
    def first(self) -> int:
        return self.ids[0]

    @property
    def last(self) -> int:
        return self.ids[-1]

    def after(self, line_id: int) -> "Batch | None":
        """Return the lines after ``line_id``; None when there are none."""
        if line_id < self.first:
            return self
        if line_id >= self.last:
            return None
        start = bisect_right(self.ids, line_id)
        return Batch(self.ids[start:], self.lines[start:])

    def later_than(self, moment: datetime) -> "Batch | None":
        """Return the lines written after ``moment``; None when there are none."""
        # Without the Z, texts sort like the times: 12:00:00 < 12:00:00.2 < 12:00:00.25.
        limit = moment_text(moment).removesuffix("Z").encode()
        later = [index for index, line in enumerate(self.lines) if time_of(line) > limit]
        if not later:
            return None
        return Batch([self.ids[index] for index in later], [self.lines[index] for index in later])

    @cached_property
    def elements(self) -> bytes:
        """The lines as elements of a JSON array, joined by commas."""
        return b",".join(self.lines)

    @cached_property
    def events(self) -> bytes:
        """The lines as server-sent events, each with the log id as its id."""
        return b"".join(
            b"id: %d\ndata: %b\n\n" % (number, line) for number, line in zip(self.ids, self.lines, strict=True)
        )

    @cached_property
    def texts(self) -> list[str]:
        """The lines as text messages of a WebSocket."""
        return [line.decode() for line in self.lines]

    @cached_property
    def frames(self) -> bytes:
        """The same messages as unmasked, uncompressed WebSocket frames (RFC 6455, 5.2), ready to send."""
        return b"".join(frame_header(len(line)) + line for line in self.lines)


def frame_header(size: int) -> bytes:
    """Return the header of a final text frame that a server sends."""
    if size < 126:
        return bytes((0x81, size))
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")


def time_of(line: bytes) -> bytes:
    """Return the time of a line, without its Z."""
    start = line.index(TIME_BEGIN) + len(TIME_BEGIN)
    return line[start : line.index(TIME_END, start)]


def pack(rows: Iterable[tuple[int, str]]) -> Iterator[Batch]:
    """Group rows of id and JSON into batches of at most BATCH_BYTES; a longer line is a batch by itself."""
    ids: list[int] = []
    lines: list[bytes] = []
    size = 0
    for number, text in rows:
        line = text.encode()
        if lines and size + len(line) > BATCH_BYTES:
            yield Batch(ids, lines)
            ids, lines, size = [], [], 0
        ids.append(number)
        lines.append(line)
        size += len(line)
    if lines:
        yield Batch(ids, lines)
