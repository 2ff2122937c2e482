"""The files that a version was imported from, as text to be read. They come as a plain tar, or as no bytes at all."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

from provisioning.archive.rules import Member, Members, read_tar

# What is read in a browser; whoever wants more downloads the archive.
MAX_TEXT_BYTES = 256 * 1024
MAX_LINES = 4000
MAX_LINE_CHARACTERS = 2000


class NotShown(Exception):
    """A file that is not text, or too long to be read in a browser. The text is the reason, for users."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of an archive; ``size`` in bytes."""

    path: str
    size: int


def list_files(archive: bytes) -> list[SourceFile]:
    """The files by path. Raises Invalid for a broken archive."""
    return sorted((SourceFile(member.path, member.size) for member, _ in _files(archive)), key=lambda file: file.path)


def read_file(archive: bytes, path: str) -> bytes:
    """What is in the file of that path, which ``list_files`` has. Raises Invalid for a broken archive."""
    return next(b"".join(content) for member, content in _files(archive) if member.path == path)


def read_all(archive: bytes) -> dict[str, bytes]:
    """What is in every file, by path. Raises Invalid for a broken archive."""
    return {member.path: b"".join(content) for member, content in _files(archive)}


def _files(archive: bytes) -> Iterator[tuple[Member, Iterator[bytes]]]:
    if archive:
        members = read_tar(io.BytesIO(archive), Members())
        yield from (entry for entry in members if not entry[0].is_directory)


def lines_of(content: bytes) -> list[str]:
    """The lines of a text in UTF-8. Raises NotShown."""
    if len(content) > MAX_TEXT_BYTES:
        raise NotShown(f"more than {MAX_TEXT_BYTES // 1024} KiB")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise NotShown("not a text file") from None
    if "\0" in text:
        raise NotShown("not a text file")
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        raise NotShown(f"more than {MAX_LINES} lines")
    if max(map(len, lines), default=0) > MAX_LINE_CHARACTERS:
        raise NotShown(f"lines of more than {MAX_LINE_CHARACTERS} characters")
    return lines
