"""Setup that runs once for all test processes of a run."""

import fcntl
import os
import pickle
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

Value = TypeVar("Value")


def filled_once(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], None]) -> Path:
    """Return a folder that the first process fills while the others wait. pytest removes it at the end."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, part = base / name, base / f"{name}.part"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with reachable_folder() as scratch:
                fill(scratch)
                copy(scratch, part)
            part.rename(folder)
    return folder


def computed_once(factory: pytest.TempPathFactory, name: str, compute: Callable[[], Value]) -> Value:
    """Return the result of ``compute`` in the first process that calls this."""

    def fill(folder: Path) -> None:
        (folder / "value").write_bytes(pickle.dumps(compute()))

    return pickle.loads((filled_once(factory, name, fill) / "value").read_bytes())


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """Yield a temporary folder that the database's account can access, even if the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="coderproj-up-") as folder:
        path = Path(folder)
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        yield path


def copy(source: Path, target: Path) -> None:
    """Copy a folder's content with owners and times."""
    target.mkdir(exist_ok=True)
    subprocess.run(["cp", "-a", "--reflink=auto", f"{source}/.", target], check=True)
