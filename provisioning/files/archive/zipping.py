"""A stored tar as a zip file, written piece by piece."""

import io
import tarfile
import zipfile
from collections.abc import Iterator
from typing import Any

from provisioning.files.archive.tar import CHUNK

# The oldest time that a zip file can have: the same content gives the same bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)


class _Pieces(io.RawIOBase):
    """A tar to read, from pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._left = self._left or next(self._pieces, b"")
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count


class _Sink(io.RawIOBase):
    """What the zip file's writer has written since the last ``take``. It cannot be read again."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken, self._written = b"".join(self._written), []
        return taken


def from_tar(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a zip file with the members of a checked tar. It is made while it is read, and ends with the reader."""
    sink = _Sink()
    with (
        tarfile.open(fileobj=io.BufferedReader(_Pieces(pieces), CHUNK), mode="r|") as source,
        zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for member in source:
            name = f"{member.name}/" if member.isdir() else member.name
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = (member.mode | (0o040000 if member.isdir() else 0o100000)) << 16
            info.compress_type = zipfile.ZIP_STORED if member.isdir() else zipfile.ZIP_DEFLATED
            info.file_size = member.size
            content = source.extractfile(member) if member.isfile() else None
            with target.open(info, "w") as entry:
                while content is not None and (chunk := content.read(CHUNK)):
                    entry.write(chunk)
                    if written := sink.take():
                        yield written
            yield sink.take()
    yield sink.take()
