"""A strict reader of tar streams: ustar and V7, with the long names of GNU tar and pax, and nothing else.

``tarfile`` is lenient: it treats a truncated or broken header as a clean end and accepts every extension. This reader
rejects incomplete streams, and features that other tar readers could interpret differently (sparse files, sizes and
names set by extensions for other members).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from coderproj.base.errors import Invalid

BLOCK = 512
MAX_EXTENSION_BYTES = 64 * 1024
MAX_HEADERS = 100_000
CHUNK = 64 * 1024

_ZEROS = bytes(BLOCK)
_PAX_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ([^=\n]{1,256})=")
HARD_LINK = "a hard link"
SYMBOLIC_LINK = "a symbolic link"
_KINDS = {
    b"1": HARD_LINK,
    b"2": SYMBOLIC_LINK,
    b"3": "a device",
    b"4": "a device",
    b"6": "a named pipe",
    b"S": "a sparse file",
}
FILE_TYPES = (b"0", b"\0")
DIRECTORY_TYPE = b"5"


def _nothing() -> None:
    """Do nothing."""


class Readable(Protocol):
    """A stream of bytes: ``read(n)`` returns at most ``n`` bytes, and none only at the end."""

    def read(self, size: int, /) -> bytes: ...


class BrokenArchive(Invalid):
    """The data is not a complete, valid archive."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One member as recorded in the archive. ``kind`` describes it when it is neither file nor directory. ``comment``
    is that of its pax header."""

    name: bytes
    is_directory: bool
    kind: str
    size: int
    mode: int
    comment: bytes = b""

    @property
    def is_link(self) -> bool:
        return self.kind in (HARD_LINK, SYMBOLIC_LINK)

    @property
    def label(self) -> str:
        """The name for error messages: short and printable."""
        return label(self.name)


def label(name: bytes) -> str:
    """Return a member's name for error messages: quoted, printable, cut to a readable length."""
    text = name.decode("utf-8", "backslashreplace")
    return ascii(text[:200] + "…" if len(text) > 200 else text) if not text.isprintable() else f"'{text[:200]}'"


class TarReader:
    """Reads a tar stream once, from start to end. Raises BrokenArchive, naming the last valid member."""

    def __init__(
        self, stream: Readable, *, at_member: Callable[[], None] = _nothing, at_end: Callable[[], None] = _nothing
    ) -> None:
        """``at_member`` is called before the headers of a member are read, ``at_end`` after the last member's content,
        when the first block of the end marker, if there is one, has been read."""
        self._stream = stream
        self._at_member = at_member
        self._at_end = at_end
        self._last = ""
        self._left = 0  # unread bytes of the current member's content
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        """Yield the members in order. ``read`` returns the current member's content until the next one is requested."""
        long_name: bytes | None = None
        size: int | None = None
        comment = b""
        is_next = True
        for _ in range(MAX_HEADERS):
            self._skip()
            if is_next:
                self._at_member()
            is_next = False
            block = self._block()
            if block is None or block == _ZEROS:
                if long_name is not None or size is not None:
                    raise self._broken("it ends within a header")
                self._at_end()
                self._finish()
                return
            header = self._header(block)
            if header.kind == "L":
                long_name = self._extension(header).rstrip(b"\0")
            elif header.kind == "K":
                self._extension(header)  # the long target of a link; the link itself is left out
            elif header.kind in {"x", "g"}:
                records = self._pax(header)
                if header.kind == "g" and not records.keys().isdisjoint({b"path", b"size", b"linkpath"}):
                    raise self._broken("a global header names a file")
                if header.kind == "x":
                    long_name = records.get(b"path", long_name)
                    size = self._pax_size(records.get(b"size"), size)
                    comment = records.get(b"comment", b"")
            else:
                entry = self._entry(header, long_name, size, comment)
                long_name, size, comment, is_next = None, None, b"", True
                self._expect(entry.size)
                self._last = entry.label
                yield entry
        raise Invalid(f"The archive has more than {MAX_HEADERS} entries.")

    def read(self) -> Iterator[bytes]:
        """Yield the content of the current member in chunks."""
        while self._left:
            chunk = self._stream.read(min(CHUNK, self._left))
            if not chunk:
                raise self._broken("it ends within a member")
            self._left -= len(chunk)
            yield chunk

    def _expect(self, size: int) -> None:
        self._left = size
        self._padding = -size % BLOCK

    def _skip(self) -> None:
        for _ in self.read():
            pass
        while self._padding:
            padding = self._stream.read(self._padding)
            if not padding:
                raise self._broken("it ends within a member")
            self._padding -= len(padding)

    def _block(self) -> bytes | None:
        """Return the next block, None at a clean end. An archive without an end marker counts as complete."""
        block = b""
        while len(block) < BLOCK:
            more = self._stream.read(BLOCK - len(block))
            if not more:
                if block or not self._last:
                    raise self._broken("it ends within a header")
                return None
            block += more
        return block

    def _finish(self) -> None:
        """Check that only padding follows the end marker: other data would be dropped silently."""
        while chunk := self._stream.read(CHUNK):
            if chunk.count(0) != len(chunk):
                raise self._broken("there is data after its end marker")

    def _header(self, block: bytes) -> "_Header":
        stated = self._number(block[148:156])
        unsigned = sum(block) - sum(block[148:156]) + 8 * 32
        signed = unsigned - 256 * sum(1 for index, byte in enumerate(block) if byte > 127 and not 148 <= index < 156)
        if stated not in (unsigned, signed):
            raise self._broken("a header has a wrong checksum")
        name = _text(block[0:100])
        if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
            name = prefix + b"/" + name
        return _Header(
            name=name,
            mode=self._number(block[100:108]),
            size=self._number(block[124:136]),
            type=block[156:157],
        )

    def _number(self, field: bytes) -> int:
        """Return a number given in octal digits, or in base 256 when the first bit is set."""
        if field[0] & 0x80:
            if field[0] & 0x40:
                raise self._broken("a header contains a negative number")
            return int.from_bytes(bytes([field[0] & 0x3F]) + field[1:], "big")
        digits = field.split(b"\0", 1)[0].strip(b" ")
        if not digits:
            return 0
        if not re.fullmatch(rb"[0-7]+", digits):
            raise self._broken("a header contains an invalid number")
        return int(digits, 8)

    def _extension(self, header: "_Header") -> bytes:
        if header.size > MAX_EXTENSION_BYTES:
            raise self._broken("an extended header is too large")
        self._expect(header.size)
        content = b"".join(self.read())
        self._skip()
        return content

    def _pax(self, header: "_Header") -> dict[bytes, bytes]:
        """Return the records of a pax header: ``LENGTH KEY=VALUE\\n``, where LENGTH counts the whole record."""
        content, position = self._extension(header), 0
        records: dict[bytes, bytes] = {}
        while position < len(content):
            match = _PAX_RECORD.match(content, position)
            end = position + int(match[1]) if match else 0
            if match is None or not match.end() < end <= len(content) or content[end - 1] != ord("\n"):
                raise self._broken("an extended header is malformed")
            if match[2].startswith(b"GNU.sparse"):
                raise self._broken("it contains a sparse file")
            records[match[2]] = content[match.end() : end - 1]
            position = end
        return records

    def _pax_size(self, value: bytes | None, before: int | None) -> int | None:
        if value is None:
            return before
        if not re.fullmatch(rb"[0-9]{1,15}", value):
            raise self._broken("an extended header contains an invalid size")
        return int(value)

    def _entry(self, header: "_Header", long_name: bytes | None, size: int | None, comment: bytes) -> Entry:
        name = header.name if long_name is None else long_name
        is_file = header.type in FILE_TYPES
        is_directory = header.type == DIRECTORY_TYPE or (is_file and name.endswith(b"/"))
        kind = ""
        if not is_file and not is_directory:
            kind = _KINDS.get(header.type, "neither a file nor a directory")
        has_content = is_file and not is_directory
        stated = header.size if size is None else size
        if is_directory and stated:
            raise Invalid(f"The archive member {label(name)} is a directory with content.")
        return Entry(
            name=name,
            is_directory=is_directory,
            kind=kind,
            size=stated if has_content else 0,
            mode=header.mode,
            comment=comment,
        )

    def _broken(self, why: str) -> BrokenArchive:
        if not self._last:
            return BrokenArchive("The file is not an archive or is broken.", detail=f"No member can be read: {why}.")
        return BrokenArchive(f"The archive is broken after the member {self._last}: {why}.")


@dataclass(frozen=True, slots=True)
class _Header:
    name: bytes
    mode: int
    size: int
    type: bytes

    @property
    def kind(self) -> str:
        return self.type.decode("latin-1")


def _text(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]
