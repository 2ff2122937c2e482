"""Convert zip uploads to plain tars; the same content gives the same bytes."""

import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import IO

from coderproj.base.errors import Invalid
from provisioning.files.archive.rules import Member, Members
from provisioning.files.archive.tar import CHUNK, SYMBOLIC_LINK, BrokenArchive, Entry

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
MAX_DIRECTORY_BYTES = 8 * 1024 * 1024
_END, _END_SIZE, _LOCATOR = b"PK\x05\x06", 22, b"PK\x06\x07"
_ENCRYPTED = 0x1


def to_tar(file: IO[bytes], write: Callable[[bytes], object], *, limit_bytes: int) -> Members:
    """Convert a whole zip file to a tar with its members sorted by name. Raises Invalid, naming the member.

    Never unpacks more than ``limit_bytes`` of content, whatever sizes the headers declare.
    """
    members = Members()
    try:
        _check_directory(file)
        with zipfile.ZipFile(file) as archive:
            _convert(archive, members, write, limit_bytes)
    # ``zipfile`` raises these for malformed files; NotImplementedError for an unsupported compression method.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error, ValueError) as error:
        raise BrokenArchive("The zip archive is broken.", detail=str(error)[:200]) from None
    return members


def _check_directory(file: IO[bytes]) -> None:
    """Reject a central directory that would fill the memory before the first entry can be checked."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _END_SIZE - 0xFFFF - 20))
    tail = file.read()
    file.seek(0)
    position = tail.rfind(_END)
    if position < 0 or position + _END_SIZE > len(tail):
        raise BrokenArchive("The zip archive is broken.", detail="Its end is missing.")
    directory_bytes = int.from_bytes(tail[position + 12 : position + 16], "little")
    if _LOCATOR in tail[max(0, position - 20) : position] or directory_bytes > MAX_DIRECTORY_BYTES:
        raise Invalid("The zip archive has too many members.")


def _convert(archive: zipfile.ZipFile, members: Members, write: Callable[[bytes], object], limit_bytes: int) -> None:
    accepted: list[tuple[Member, zipfile.ZipInfo]] = []
    total = 0
    for info in archive.infolist():
        member = members.admit(_entry(info))
        if member is not None:
            accepted.append((member, info))
            total += member.size
            if total > limit_bytes:
                raise Invalid(f"The archive member {_entry(info).label} is too large when unpacked.")
    for member, info in sorted(accepted, key=lambda pair: pair[0].path):
        write(tar_header(member))
        if not member.is_directory:
            _copy(archive, info, member, write)
    write(members.note() + bytes(2 * tarfile.BLOCKSIZE))


def _copy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, member: Member, write: Callable[[bytes], object]) -> None:
    left = member.size
    with archive.open(info) as content:
        while chunk := content.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                break
            write(chunk)
    if left:
        raise BrokenArchive(f"The archive member {_entry(info).label} is larger or smaller than its header declares.")
    write(bytes(-member.size % tarfile.BLOCKSIZE))


def _entry(info: zipfile.ZipInfo) -> Entry:
    name = info.orig_filename  # ``filename`` is cut at a NUL
    mode = info.external_attr >> 16 if info.create_system == 3 else 0
    is_directory = name.endswith("/")
    kind = ""
    if info.flag_bits & _ENCRYPTED:
        kind = "encrypted"
    elif stat.S_ISLNK(mode):
        kind = SYMBOLIC_LINK
    elif stat.S_IFMT(mode) not in (0, stat.S_IFDIR if is_directory else stat.S_IFREG):
        kind = "neither a file nor a directory"
    return Entry(
        name=name.encode("utf-8", "surrogateescape"),
        is_directory=is_directory,
        kind=kind,
        size=0 if is_directory else info.file_size,
        mode=mode,
    )


def tar_header(member: Member) -> bytes:
    """Return the header blocks of a member, without times and owners: the same content gives the same archive."""
    info = tarfile.TarInfo(member.path)
    info.size = member.size
    info.mode = 0o755 if member.is_directory or member.executable else 0o644
    info.type = tarfile.DIRTYPE if member.is_directory else tarfile.REGTYPE
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
