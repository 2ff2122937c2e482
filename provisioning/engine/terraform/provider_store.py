"""Installed providers of a machine, shared by any number of processes and daemons.

Layout of the store's folder::

    packages/HASH/               the files of a package; never changed after it appears, by one rename
    packages/HASH.json           its address, version, hashes and the protocol that it speaks
    HOST/NAMESPACE/TYPE/VERSION/PLATFORM -> packages/HASH, the layout of Terraform's plugin cache
    notes/                       what is remembered for a while: selected versions, unreachable registries
    locks/                       files to lock: one process installs a provider or asks a registry
    staging/                     installations in progress

A package without a JSON file, for example a folder that Terraform's own cache holds, is adopted when it is first used.
"""

import base64
import fcntl
import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioning.engine.base import EngineError
from provisioning.engine.terraform.lock_file import ARCHIVE_SCHEME, DIRECTORY_SCHEME, Locked
from provisioning.engine.terraform.provider_sources import ProviderSources, store_folder
from provisioning.engine.terraform.settings import EngineSettings

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
PLATFORM = f"{platform.system().lower()}_{_MACHINES.get(platform.machine(), platform.machine())}"
_STALE_STAGING_SECONDS = 24 * 3600
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Package:
    """An installed provider: ``folder`` holds its files, ``program`` is its executable.

    ``hash`` is Terraform's ``h1:`` hash of the folder, ``archive_hashes`` the ``zh:`` hashes of the version's packages
    as the registry published them. Both are empty for a program that the operator overrides.
    """

    address: str
    version: str
    folder: Path
    program: Path
    hash: str = ""
    archive_hashes: frozenset[str] = frozenset()

    def matches(self, locked: Locked) -> bool:
        """True if a lock file allows this package. A published version is allowed if all of its hashes are."""
        if not locked.hashes or self.hash in locked.hashes:
            return True
        return bool(self.archive_hashes) and self.archive_hashes <= locked.archive_hashes


class ProviderStore:
    """The packages and notes in a folder, which is created if it does not exist. Raises OSError."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        self.root = root.absolute()
        self._clock = clock
        for name in ("packages", "notes", "locks", "staging"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        self.root = self.root.resolve()  # links of packages lead to it

    # ------------------------------------------------------------------ packages
    def find(self, address: str, digest: str) -> Package | None:
        """Return the package with a hash (``h1:…``), or None."""
        folder = self._folder(digest)
        try:
            about = json.loads(self._about(folder).read_text())
        except (OSError, ValueError):
            return None
        program = _program(folder, address)
        if program is None:
            return None
        return Package(
            address=address,
            version=about["version"],
            folder=folder,
            program=program,
            hash=digest,
            archive_hashes=frozenset(about["archive_hashes"]),
        )

    def packages(self, address: str) -> list[Path]:
        """Return the folders of all versions of a provider for this machine, also of packages to adopt."""
        with suppress(OSError):
            return sorted(path for path in (self.root / address).glob(f"*/{PLATFORM}") if path.is_dir())
        return []

    def known(self, address: str) -> list[Package]:
        """Return the stored packages of a provider."""
        digests = [_digest_of(path.resolve().name) for path in self.packages(address) if path.is_symlink()]
        return [package for digest in digests if digest and (package := self.find(address, digest))]

    def adopt(self, address: str, version: str, folder: Path, archive_hashes: frozenset[str]) -> Package | None:
        """Store the package in ``folder``, which is moved if it is in the staging folder and copied otherwise.

        Returns None if it has no program.
        """
        folder = folder.resolve()
        if _program(folder, address) is None:
            return None
        if folder.parent == self.root / "packages":
            digest = _digest_of(folder.name)
        else:
            digest = directory_hash(folder)
            self._store(folder, digest)
        target = self._folder(digest)
        known = self.find(address, digest)
        hashes = archive_hashes | (known.archive_hashes if known else frozenset())
        content = {"address": address, "version": version, "archive_hashes": sorted(hashes)}
        _write(self._about(target), content)
        self._link(self.root / address / version / PLATFORM, target)
        return self.find(address, digest)

    def _store(self, folder: Path, digest: str) -> None:
        target = self._folder(digest)
        if target.is_dir():
            return
        staging = self.root / "staging"
        aside = Path(tempfile.mkdtemp(prefix="package-", dir=staging))
        try:
            source = aside / "content"
            if folder.is_relative_to(staging):
                folder.rename(source)
            else:
                shutil.copytree(folder, source, symlinks=True)
            source.chmod(0o755)
            with suppress(OSError):  # another process stored the same content
                source.rename(target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _link(self, path: Path, target: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and (not path.is_symlink() or path.resolve() == target):
            return
        with tempfile.TemporaryDirectory(prefix="link-", dir=self.root / "staging") as aside:
            new = Path(aside) / "link"
            new.symlink_to(os.path.relpath(target, path.parent))
            new.replace(path)

    def _folder(self, digest: str) -> Path:
        return self.root / "packages" / base64.b64decode(digest.removeprefix(DIRECTORY_SCHEME)).hex()

    @staticmethod
    def _about(folder: Path) -> Path:
        return folder.with_name(f"{folder.name}.json")

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield a new folder on the store's file system, which is removed at the end."""
        parent = self.root / "staging"
        for old in parent.iterdir():  # of processes that were killed
            with suppress(OSError):
                if time.time() - old.stat().st_mtime > _STALE_STAGING_SECONDS:
                    shutil.rmtree(old, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix="init-", dir=parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    # ------------------------------------------------------------------ notes and locks
    def note(self, *key: str) -> Any:
        """Return what is remembered under a key, or None."""
        try:
            content = json.loads(self._note(key).read_text())
            return content["value"] if content["until"] is None or content["until"] > self._clock() else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remember(self, *key: str, value: Any, seconds: float | None) -> None:
        """Remember a JSON value, for ever if ``seconds`` is None."""
        until = None if seconds is None else self._clock() + seconds
        _write(self._note(key), {"key": key, "value": value, "until": until})

    def _note(self, key: tuple[str, ...]) -> Path:
        return self.root / "notes" / f"{_key(key)}.json"

    @contextmanager
    def lock(self, *key: str, check: Callable[[], None]) -> Iterator[None]:
        """Hold the machine's lock with this key. ``check`` is called while waiting, and can raise to give up."""
        with (self.root / "locks" / _key(key)).open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    check()
                    time.sleep(_POLL_SECONDS)
                else:
                    break
            yield  # closing the file releases the lock


def open_store(settings: EngineSettings, sources: ProviderSources) -> ProviderStore | None:
    """Return the store that the settings configure, None without a folder for it. Raises EngineError."""
    folder = store_folder(settings, sources)
    if folder is None:
        return None
    try:
        return ProviderStore(folder)
    except OSError as error:
        raise EngineError(f"the cache of providers {folder} cannot be created: {error.strerror}") from error


def directory_hash(folder: Path) -> str:
    """Return Terraform's hash of a package: ``h1:`` and the base64 SHA-256 of all files' hashes and names."""
    lines = []
    names = (Path(parent, name) for parent, _, files in os.walk(folder) for name in files)
    for path in sorted(names, key=lambda path: path.relative_to(folder).as_posix()):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.relative_to(folder).as_posix()}\n")
    return DIRECTORY_SCHEME + base64.b64encode(hashlib.sha256("".join(lines).encode()).digest()).decode()


def archive_hashes(hashes: tuple[str, ...]) -> frozenset[str]:
    """Return the hashes of archives among those of a lock file."""
    return frozenset(one for one in hashes if one.startswith(ARCHIVE_SCHEME))


def _program(folder: Path, address: str) -> Path | None:
    """Return the executable that Terraform would run."""
    name = f"terraform-provider-{address.rpartition('/')[2]}"
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if path.name.startswith(name) and path.is_file() and os.access(path, os.X_OK):
                return path
    return None


def _digest_of(name: str) -> str:
    try:
        return DIRECTORY_SCHEME + base64.b64encode(bytes.fromhex(name)).decode()
    except ValueError:
        return ""


def _key(key: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(key).encode()).hexdigest()


def _write(path: Path, content: Any) -> None:
    """Replace a JSON file in one step."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)
