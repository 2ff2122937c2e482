"""Unpack an archive into a job's folder, and pack a folder into an archive."""

import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coderproj.base.errors import Invalid
from provisioning.files.archive.rules import Member, Members, read_tar
from provisioning.files.archive.tar import BLOCK, Entry, Readable
from provisioning.files.archive.zip import tar_header


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The number of files written, and the names left out."""

    files: int
    dropped: tuple[str, ...]


def unpack(source: Path | Readable, directory: Path) -> Unpacked:
    """Unpack a plain tar into ``directory``, which is created if missing and must be empty and private to the caller.

    Creates only regular files and directories, replaces nothing and follows no link. Raises Invalid, naming the
    member; files written before that stay.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if isinstance(source, Path):
        with source.open("rb") as stream:
            return _unpack(stream, directory)
    return _unpack(source, directory)


def _unpack(stream: Readable, directory: Path) -> Unpacked:
    members = Members()
    created = {directory}
    for member, content in read_tar(stream, members):
        path = directory / member.path
        _make_folder(path if member.is_directory else path.parent, created)
        if not member.is_directory:
            _write(path, content, executable=member.executable)
    return Unpacked(members.files, tuple(members.dropped))


def _make_folder(path: Path, created: set[Path]) -> None:
    if path in created:
        return
    _make_folder(path.parent, created)
    path.mkdir(mode=0o755)
    created.add(path)


def _write(path: Path, content: Iterator[bytes], *, executable: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o755 if executable else 0o644), "wb") as file:
        for chunk in content:
            file.write(chunk)


def pack(directory: Path) -> bytes:
    """Pack a folder into a tar; the same content gives the same bytes.

    Hidden files and folders, Terraform's state and repositories are left out. Raises Invalid for anything
    that is neither file nor directory, and for names that an upload would reject.
    """
    members = Members()
    archive = io.BytesIO()
    for path in _walk(directory):
        status = path.lstat()
        entry = Entry(
            name=os.fsencode(path.relative_to(directory)),
            is_directory=stat.S_ISDIR(status.st_mode),
            kind=_kind(status.st_mode),
            size=status.st_size,
            mode=status.st_mode,
        )
        member = members.admit(entry)
        if member is None:
            continue
        content = b"" if member.is_directory else path.read_bytes()
        archive.write(tar_header(Member(member.path, member.is_directory, len(content), member.executable)))
        archive.write(content)
        archive.write(bytes(-len(content) % BLOCK))
    archive.write(bytes(2 * BLOCK))
    return archive.getvalue()


def _walk(directory: Path) -> Iterator[Path]:
    try:
        paths = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise Invalid(f"The folder {str(directory)!r} cannot be read: {error.strerror}.") from error
    for path in paths:
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ""
    return "a symbolic link" if stat.S_ISLNK(mode) else "neither a file nor a directory"
