"""The source files of a version as text for display. The archive is a plain tar; empty bytes mean no source."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from provisioning.files.archive.rules import Member, Members, read_tar

# Larger archives take too long to read for a page; users can download them.
MAX_ARCHIVE_BYTES = 8 * 1024 * 1024
MAX_FILES = 1000
MAX_TEXT_BYTES = 256 * 1024
MAX_LINES = 4000
MAX_LINE_CHARACTERS = 2000
TOO_LONG = f"more than {MAX_TEXT_BYTES // 1024} KiB"
# The file shown first.
FIRST = "main.tf"
# Characters that are invisible or change how others look: the displayed text must not differ from the code that runs.
_INVISIBLE = re.compile(r"[\x01-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


class NotShown(Exception):
    """An archive or a file is too large to display, or not text. The message is the reason, for users."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of an archive; ``size`` is in bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Source:
    """The files of an archive by path, and the chosen file with its content. ``content`` is empty for a file that is
    too large to display; ``chosen`` is None if there is no such file."""

    files: list[SourceFile]
    chosen: SourceFile | None
    content: bytes

    def lines(self) -> list[str]:
        """Return the lines of the chosen file. Raises NotShown."""
        if self.chosen is None:
            return []
        if self.chosen.size > MAX_TEXT_BYTES:
            raise NotShown(TOO_LONG)
        return lines_of(self.content)


def open_source(archive: bytes, wanted: str = "") -> Source:
    """Read an archive, choosing the file with the path ``wanted``; by default ``main.tf``, or else the first file.

    Raises Invalid for a broken archive, and NotShown for an archive with too many files.
    """
    files: list[SourceFile] = []
    chosen, content = None, b""
    for member, chunks in _files(archive):
        file = SourceFile(member.path, member.size)
        files.append(file)
        if file.path == wanted if wanted else chosen is None or _rank(file) < _rank(chosen):
            chosen = file
            content = b"".join(chunks) if file.size <= MAX_TEXT_BYTES else b""
    return Source(sorted(files, key=lambda file: file.path), chosen, content)


def _rank(file: SourceFile) -> tuple[bool, bool, str]:
    return file.path != FIRST, not file.path.endswith(".tf"), file.path


def read_all(archive: bytes) -> dict[str, bytes]:
    """Return the content of every file by path. Raises the same errors as ``open_source``."""
    return {member.path: b"".join(chunks) for member, chunks in _files(archive)}


def check_size(size: int) -> None:
    """Raise NotShown for an archive that is too large to read for a page."""
    if size > MAX_ARCHIVE_BYTES:
        raise NotShown(f"more than {MAX_ARCHIVE_BYTES // 1024 // 1024} MiB of files")


def _files(archive: bytes) -> Iterator[tuple[Member, Iterator[bytes]]]:
    if not archive:
        return
    count = 0
    for member, chunks in read_tar(io.BytesIO(archive), Members()):
        if not member.is_directory:
            count += 1
            if count > MAX_FILES:
                raise NotShown(f"more than {MAX_FILES} files")
            yield member, chunks


def lines_of(content: bytes) -> list[str]:
    """Return the lines of a UTF-8 text, counted as Terraform counts them. Invisible characters are replaced by their
    code points in angle brackets. Raises NotShown."""
    if len(content) > MAX_TEXT_BYTES:
        raise NotShown(TOO_LONG)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise NotShown("not a text file") from None
    if "\0" in text:
        raise NotShown("not a text file")
    lines = text.removesuffix("\n").split("\n") if text else []
    if len(lines) > MAX_LINES:
        raise NotShown(f"more than {MAX_LINES} lines")
    if max(map(len, lines), default=0) > MAX_LINE_CHARACTERS:
        raise NotShown(f"lines of more than {MAX_LINE_CHARACTERS} characters")
    return [_INVISIBLE.sub(_code_point, line.removesuffix("\r")) for line in lines]


def _code_point(character: re.Match[str]) -> str:
    return f"\N{MATHEMATICAL LEFT ANGLE BRACKET}U+{ord(character[0]):04X}\N{MATHEMATICAL RIGHT ANGLE BRACKET}"
