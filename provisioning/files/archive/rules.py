"""The rules for members of an archive: which are rejected, and which are left out.

Links are left out (ruling 48). The stored archive has none of the members that are left out; their names are the
comment of a last member, the archive's root folder, so that the job's log can name them.
"""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from coderproj.base.errors import Invalid
from provisioning.files.archive.tar import Entry, Readable, TarReader, label

MAX_MEMBERS = 10_000
MAX_DEPTH = 32
MAX_COMPONENT_BYTES = 255
MAX_NAME_BYTES = 1024
MAX_DROPPED_NAMES = 100
# Bytes of the names in an archive's note.
MAX_NOTE_BYTES = 32 * 1024
NOTE = "Left out:\n"

# Invisible characters, including those that change the writing direction: a name must look like what it is.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_DRIVE = re.compile(r"[A-Za-z]:")
# The versions and hashes of the template's providers. It names no programs. In other folders Terraform ignores it.
_LOCK_FILE = ".terraform.lock.hcl"
# A template's working state, which a plan would trust (an archive could bring its own programs to run),
# the history of its repository, and files that operating systems create.
_DROPPED = re.compile(r"\.terraform|\.terraform\.lock\.hcl|.*\.tfstate.*|\.git|\._.*|\.DS_Store|__MACOSX", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Member:
    """A file or directory to unpack. ``path`` is relative, with plain components joined by ``/``."""

    path: str
    is_directory: bool
    size: int
    executable: bool


@dataclass(slots=True)
class Members:
    """The names seen so far in one archive of any format."""

    _is_directory: dict[str, bool] = field(default_factory=dict)  # by path
    _members: set[str] = field(default_factory=set)
    files: int = 0
    # The names left out, each with its description for the log.
    dropped: dict[str, str] = field(default_factory=dict)

    def admit(self, entry: Entry) -> Member | None:
        """Check a member; return None when it is left out or the archive's root. Raises Invalid, naming the member."""
        parts = components(entry.name)
        if not parts:
            if entry.is_directory:
                self._read_note(entry.comment)
                return None  # the archive's root, as written by ``tar -C folder .``
            raise Invalid(f"The archive member {entry.label} has no name.")
        for index, part in enumerate(parts):
            if _DROPPED.fullmatch(part) and parts != [_LOCK_FILE]:
                self.leave_out("/".join(parts[: index + 1]))
                return None
        if entry.is_link:
            self.leave_out("/".join(parts), entry.kind)
            return None
        if entry.kind:
            raise Invalid(f"The archive member {entry.label} is {entry.kind}.")
        path = "/".join(parts)
        self._register(entry, parts, path)
        return Member(path, entry.is_directory, entry.size, executable=bool(entry.mode & 0o100))

    def leave_out(self, path: str, kind: str = "") -> None:
        """Record that a member is left out, because of its name or because it is a link."""
        if path in self.dropped or len(self.dropped) < MAX_DROPPED_NAMES:
            self.dropped[path] = f"{path} ({kind})" if kind else path

    def note(self) -> bytes:
        """Return the tar member that names what was left out; no bytes if nothing was."""
        if not self.dropped:
            return b""
        text = NOTE
        for description in self.dropped.values():
            if len(text.encode()) + len(description.encode()) > MAX_NOTE_BYTES:
                break
            text += f"{description}\n"
        info = tarfile.TarInfo(".")
        info.type, info.mode, info.pax_headers = tarfile.DIRTYPE, 0o755, {"comment": text}
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")

    def _read_note(self, comment: bytes) -> None:
        text = comment.decode("utf-8", "replace")
        for description in text.removeprefix(NOTE).splitlines() if text.startswith(NOTE) else ():
            if description.isprintable() and len(self.dropped) < MAX_DROPPED_NAMES:
                path, _, kind = description.partition(" (")
                self.dropped.setdefault(path if kind.endswith("link)") else description, description)

    def _register(self, entry: Entry, parts: list[str], path: str) -> None:
        for index in range(1, len(parts)):
            if self._is_directory.setdefault("/".join(parts[:index]), True) is False:
                raise Invalid(f"The archive member {entry.label} is inside a file.")
        if self._is_directory.setdefault(path, entry.is_directory) is not entry.is_directory:
            raise Invalid(f"The archive member {entry.label} is both a file and a directory.")
        if not entry.is_directory and path in self._members:
            raise Invalid(f"The archive member {entry.label} occurs twice.")
        self._members.add(path)
        self.files += not entry.is_directory
        if len(self._is_directory) > MAX_MEMBERS:
            raise Invalid(f"The archive has more than {MAX_MEMBERS} members; {entry.label} exceeds the limit.")


def components(name: bytes) -> list[str]:
    """Return the components of a member's name, none for the archive's root. Raises Invalid for an unsafe name."""
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid(f"The name of the archive member {label(name)} is not UTF-8.") from None
    if not text:
        raise Invalid("The archive has a member without a name.")
    problem = ""
    if _CONTROL.search(text):
        problem = "has a control character in its name"
    elif text.startswith("/"):
        problem = "has an absolute name"
    elif "\\" in text:
        problem = "has a backslash in its name"
    elif _DRIVE.match(text):
        problem = "has a drive letter in its name"
    elif len(name) > MAX_NAME_BYTES:
        problem = f"has a name of more than {MAX_NAME_BYTES} bytes"
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        problem = "points outside the archive"
    elif any(len(part.encode()) > MAX_COMPONENT_BYTES for part in parts):
        problem = problem or f"has a path component of more than {MAX_COMPONENT_BYTES} bytes"
    elif len(parts) > MAX_DEPTH:
        problem = f"is nested more than {MAX_DEPTH} directories deep"
    if problem:
        raise Invalid(f"The archive member {label(name)} {problem}.")
    return parts


def read_tar(stream: Readable, members: Members) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """Yield the members of a tar stream that are not left out, each with its content in chunks."""
    reader = TarReader(stream)
    for entry in reader:
        member = members.admit(entry)
        if member is not None:
            yield member, reader.read()
