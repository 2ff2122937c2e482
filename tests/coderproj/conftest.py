"""What tests of the whole program stand on."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.coderproj.starting import lines_until, running


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that the database's account can reach, also when we are root."""
    with tempfile.TemporaryDirectory(prefix="coderproj-up-") as folder:
        path = Path(folder)
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        yield path


@pytest.fixture(scope="session")
def _used_once() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="coderproj-used-") as folder:
        path = Path(folder)
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        with running(path, "--no-daemon") as (_, process):
            lines_until(process, "First user")
        yield path


@pytest.fixture
def used_data_dir(_used_once: Path, data_dir: Path) -> Path:
    """A data folder with a database and its first user, of a server that was stopped."""
    subprocess.run(["cp", "-a", f"{_used_once}/.", data_dir], check=True)
    return data_dir
