"""Receive an upload: read it once, in chunks, while checking and hashing it."""

import hashlib
import tempfile
import zlib
from dataclasses import dataclass
from typing import IO, Protocol

from coderproj.base.errors import Invalid, TooLarge
from provisioning.files.archive import zip as zip_format
from provisioning.files.archive.rules import Members, components
from provisioning.files.archive.tar import CHUNK, BrokenArchive, Readable, TarReader

GZIP_MAGIC = b"\x1f\x8b"
SPOOL_BYTES = 1024 * 1024
# Headers of one member: a long name, the target of a link, and pax headers.
MAX_HELD_BYTES = 1024 * 1024


class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True, slots=True)
class ArchiveInfo:
    """The tar written to the sink: its SHA-256 in hex and size in bytes, its number of files, and the names that were
    left out of it.
    """

    sha256: str
    size: int
    files: int
    dropped: tuple[str, ...]


def check(stream: Readable, *, limit_bytes: int, sink: Writable) -> ArchiveInfo:
    """Read an upload to its end and write it to ``sink`` as a plain tar.

    The members of a tar are passed through byte for byte, gzip is decompressed, a zip file is converted. What the rules
    leave out is not written. ``limit_bytes`` applies to the upload and to the stored tar. Raises TooLarge, and Invalid
    naming the member that is unsafe or broken.
    """
    incoming = _Limited(stream, limit_bytes)
    head = incoming.read(len(zip_format.MAGIC[0]))
    while 0 < len(head) < len(zip_format.MAGIC[0]) and (more := incoming.read(len(zip_format.MAGIC[0]) - len(head))):
        head += more
    if not head:
        raise Invalid("The archive is empty: the upload contains no data.")
    source = _Prefixed(head, incoming)
    stored = _HashingSink(sink, limit_bytes)
    if head in zip_format.MAGIC:
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as file:
            _copy(source, file)
            members = zip_format.to_tar(file, stored.write, limit_bytes=limit_bytes)
    else:
        members = Members()
        _store_members(_Gunzip(source) if head.startswith(GZIP_MAGIC) else source, members, stored)
    return ArchiveInfo(stored.hash.hexdigest(), stored.size, members.files, tuple(members.dropped))


def _store_members(stream: Readable, members: Members, stored: "_HashingSink") -> None:
    """Write a tar stream to the store without the members that are left out; the last member names those."""
    sieve = _Sieve(stream, stored)

    def end() -> None:
        stored.write(members.note() if sieve.has_dropped else b"")
        sieve.keep()

    for entry in TarReader(sieve, at_member=sieve.hold, at_end=end):
        is_left_out = members.admit(entry) is None and components(entry.name)
        if is_left_out:
            sieve.drop()
        else:
            sieve.keep()


class _Limited:
    """A stream of at most ``limit_bytes``. Raises TooLarge."""

    def __init__(self, stream: Readable, limit_bytes: int) -> None:
        self._stream = stream
        self._left = limit_bytes
        self._limit = limit_bytes

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise too_large(self._limit)
        return data


class _Prefixed:
    """A stream with the bytes read already put back."""

    def __init__(self, head: bytes, stream: Readable) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._stream.read(size)


class _HashingSink:
    """The sink; hashes, counts and limits what is written to it. Raises TooLarge."""

    def __init__(self, sink: Writable, limit_bytes: int) -> None:
        self._sink = sink
        self._limit = limit_bytes
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._limit:
            raise too_large(self._limit)
        self.hash.update(data)
        self._sink.write(data)


class _Sieve:
    """A stream that stores what is read from it. The headers of a member are held back until it is kept or dropped."""

    def __init__(self, stream: Readable, stored: _HashingSink) -> None:
        self._stream = stream
        self._stored = stored
        self._held: bytearray | None = None
        self._is_kept = True
        self.has_dropped = False

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        if self._held is not None:
            self._held += data
            if len(self._held) > MAX_HELD_BYTES:
                raise BrokenArchive("The archive has too many extended headers in a row.")
        elif self._is_kept:
            self._stored.write(data)
        return data

    def hold(self) -> None:
        """Hold back what is read from now on."""
        self._held = bytearray()

    def keep(self) -> None:
        """Store what was held back, and what follows."""
        if self._held:
            self._stored.write(bytes(self._held))
        self._held, self._is_kept = None, True

    def drop(self) -> None:
        """Drop what was held back, and what follows."""
        self._held, self._is_kept, self.has_dropped = None, False, True


class _Gunzip:
    """A decompressed gzip stream; each read decompresses at most the requested size. Raises BrokenArchive."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._decompressor = zlib.decompressobj(wbits=31)

    def read(self, size: int, /) -> bytes:
        while True:
            if self._decompressor.eof:
                self._end()
                return b""
            pending = self._decompressor.unconsumed_tail
            data = pending or self._stream.read(CHUNK)
            try:
                plain = self._decompressor.decompress(data, size)
            except zlib.error as error:
                raise BrokenArchive("The gzip stream is broken.", detail=str(error)) from None
            if plain:
                return plain
            if not data:
                raise BrokenArchive("The gzip stream is broken.", detail="It ends too early.")

    def _end(self) -> None:
        if self._decompressor.unused_data.strip(b"\0") or self._stream.read(CHUNK).strip(b"\0"):
            raise BrokenArchive("The gzip stream is followed by other data.")


def too_large(limit_bytes: int) -> TooLarge:
    """Return the error for an archive over the limit."""
    return TooLarge(f"The archive is larger than the limit of {limit_bytes} bytes.")


def _copy(source: Readable, file: IO[bytes]) -> None:
    while chunk := source.read(CHUNK):
        file.write(chunk)
    file.seek(0)
