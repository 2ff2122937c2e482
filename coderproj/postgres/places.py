"""The account of the server, and its folders.

PostgreSQL refuses to run as root. For root it runs as another account, which must be able to enter its folders. The
permissions of existing folders are never changed.
"""

import hashlib
import os
import pwd
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coderproj.postgres.errors import EmbeddedPostgresError

SERVER_ACCOUNTS = ("postgres", "nobody")
SYSTEM_ROOT = Path("/var/lib/coderproj")
"""Where root keeps a database whose own folder the server's account cannot reach, such as one below /root."""

SOCKET_NAME = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 107
"""Bytes in `sockaddr_un.sun_path` on Linux, less the closing NUL."""


@dataclass(frozen=True)
class Account:
    """The user that the server runs as. `change` is True if this process runs as another user."""

    uid: int
    gid: int
    name: str
    change: bool

    @property
    def popen(self) -> dict[str, Any]:
        """The arguments of `subprocess` that run a program as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.change else {}

    def own(self, path: Path) -> None:
        """Make this account the owner of `path`, which has just been created."""
        if self.change:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def reaches(self, folder: Path) -> bool:
        """Return True if this account can enter `folder`.

        A program tests it as this account, so that access control lists count. It is run again if it was
        killed. Raises EmbeddedPostgresError if it returns no result.
        """
        if not self.change:
            return os.access(folder, os.X_OK)
        for _ in range(3):
            try:
                status = subprocess.run(["test", "-x", folder], cwd="/", check=False, **self.popen).returncode
            except OSError as error:
                raise EmbeddedPostgresError(
                    f"cannot run a program as {self.name} ({error}): run as an ordinary user, or set DATABASE_URL"
                ) from error
            if status in (0, 1):
                return status == 0
        raise EmbeddedPostgresError(f"cannot tell whether {self.name} can enter {folder}: test ended with {status}")

    def runs(self, program: Path) -> bool:
        """Return True if this account can run `program`, which is run again if it was killed."""
        command = (str(program), "--version")
        for _ in range(3):
            try:
                done = subprocess.run(command, capture_output=True, cwd="/", check=False, **self.popen)
            except OSError:
                return False
            if 0 <= done.returncode <= 128:  # above, a shell reports a signal
                return done.returncode == 0
        return False


def server_account(data: Path) -> Account:
    """Return the account for the server of the folder `data`.

    It is the current user. For root it is the owner of `data` if that exists, else `postgres`, else `nobody`.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), _name_of(os.geteuid()), change=False)
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid, _name_of(owner.st_uid), change=True)
    for name in SERVER_ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, name, change=True)
    raise EmbeddedPostgresError(
        f"PostgreSQL does not run as root and there is no account {' or '.join(SERVER_ACCOUNTS)}: "
        f"create one, run as an ordinary user, or set DATABASE_URL"
    )


def make_folder(folder: Path) -> None:
    """Create `folder` and its missing parents. For root other accounts can pass through them, but not list them."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(exist_ok=True)
        place.chmod(0o711 if os.geteuid() == 0 else 0o700)


def working_root(root: Path) -> Path:
    """Return the folder that holds the database of `root`, and create it if it is missing.

    It is `root`, unless the user is root and the server's account cannot enter `root` (a clone below /root). Then it is
    a folder below /var/lib/coderproj, and the file `location` in `root` records it.

    Raises EmbeddedPostgresError if `root` holds a database that its account can no longer reach.
    """
    record = root / "location"
    try:
        make_folder(root)
        if not root.is_dir():
            raise EmbeddedPostgresError(f"cannot use {root} for the database: it is not a folder")
        if record.is_file():
            moved = Path(record.read_text().strip())
            make_folder(moved)
            return moved
        account = server_account(root / "data")
        if account.reaches(root):
            return root
        if (root / "data").exists():
            raise EmbeddedPostgresError(
                f"the account {account.name} can no longer reach its database in {root}: a folder above it "
                f"is closed "
                f"to others. Open that folder (chmod o+x), or move the database"
            )
        moved = SYSTEM_ROOT / hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
        make_folder(moved)
        if not account.reaches(moved):
            raise EmbeddedPostgresError(
                f"the account {account.name}, which runs PostgreSQL for root, can reach neither {root} nor "
                f"{moved}: "
                f"choose another folder, run as an ordinary user, or set DATABASE_URL"
            )
        record.write_text(f"{moved}\n")
    except OSError as error:
        raise EmbeddedPostgresError(f"cannot use {root} for the database: {error}") from error
    return moved


def socket_folder(root: Path, account: Account) -> Path:
    """Return the folder in which the server listens, private to the account (0700).

    It is `root/run`. If that path is too long for a socket or has a comma, which separates hosts for libpq, it is a
    short temporary folder, and the file `socket` in `root` records it for other processes.
    """
    folder = root / "run"
    if len(os.fsencode(folder / SOCKET_NAME)) <= LONGEST_SOCKET_PATH and "," not in str(folder):
        private_folder(folder, account)
        (root / "socket").unlink(missing_ok=True)
        return folder
    recorded = recorded_socket_folder(root)
    if recorded != folder and _is_private(recorded, account):
        return recorded
    folder = Path(tempfile.mkdtemp(prefix="coderproj-", dir=short_temporary_folder()))
    account.own(folder)
    (root / "socket").write_text(f"{folder}\n")
    return folder


def recorded_socket_folder(root: Path) -> Path:
    """Return the folder in which the server of `root` listens, as its last start recorded it."""
    record = root / "socket"
    return Path(record.read_text().strip()) if record.is_file() else root / "run"


def short_temporary_folder() -> str:
    """Return the temporary folder, or /tmp if its path is long."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) < 60 else "/tmp"  # noqa: S108 - mkdtemp makes a private folder in it


def private_folder(folder: Path, account: Account) -> None:
    """Create `folder`, private to `account`. Raises EmbeddedPostgresError if it exists and is not private."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not _is_private(folder, account):
            raise EmbeddedPostgresError(
                f"{folder} must be a folder of {account.name} that nobody else can enter (mode 0700)"
            ) from None
    else:
        account.own(folder)


def _is_private(folder: Path, account: Account) -> bool:
    try:
        facts = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == account.uid and stat.S_IMODE(facts.st_mode) == 0o700


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
