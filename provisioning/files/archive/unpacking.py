"""Unpack an archive into a job's folder, and pack a folder into an archive."""

import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coderproj.base.errors import Invalid
from provisioning.files.archive.rules import Member, Members, read_tar
from provisioning.files.archive.tar import BLOCK, SYMBOLIC_LINK, Entry, Readable
from provisioning.files.archive.zip import tar_header


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The number of files written, and what was left out, now or when the archive was stored."""

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
    return Unpacked(members.files, tuple(members.dropped.values()))


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

    Hidden files and folders, Terraform's state and repositories are left out. Links are followed where they stay inside
    the folder, and left out and named in the archive elsewhere. Raises Invalid for anything else that is neither file
    nor directory, and for names that an upload would reject.
    """
    members = Members()
    archive = io.BytesIO()
    root = directory.resolve()
    for path, name in _walk(root, Path(), (root,), members):
        status = path.stat()
        entry = Entry(
            name=os.fsencode(name),
            is_directory=stat.S_ISDIR(status.st_mode),
            kind="" if path.is_file() or path.is_dir() else "neither a file nor a directory",
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
    links = Members(dropped={name: text for name, text in members.dropped.items() if name != text})
    archive.write(links.note() + bytes(2 * BLOCK))
    return archive.getvalue()


def _walk(folder: Path, name: Path, above: tuple[Path, ...], members: Members) -> Iterator[tuple[Path, Path]]:
    """Yield the files and folders below a resolved folder, each with its name in the archive. ``above`` holds the
    folder, and the folders through which it was reached, with the root first."""
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise Invalid(f"The folder {str(folder)!r} cannot be read: {error.strerror}.") from error
    for path in paths:
        found = _followed(path, above) if path.is_symlink() else path
        if found is None:
            members.leave_out((name / path.name).as_posix(), SYMBOLIC_LINK)
            continue
        yield found, name / path.name
        if found.is_dir():
            yield from _walk(found, name / path.name, (*above, found), members)


def _followed(link: Path, above: tuple[Path, ...]) -> Path | None:
    """Return what a link leads to, None unless that is a visible file or folder inside the root and not a folder above
    the link."""
    try:
        target = link.resolve(strict=True)
        inner = target.relative_to(above[0])
    except (OSError, RuntimeError, ValueError):
        return None
    is_shown = not any(part.startswith(".") for part in inner.parts)
    return target if is_shown and target not in above and (target.is_file() or target.is_dir()) else None
