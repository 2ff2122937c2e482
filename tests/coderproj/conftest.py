"""What tests of the whole program stand on."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that the database's account can reach, also when we are root."""
    with tempfile.TemporaryDirectory(prefix="coderproj-up-") as folder:
        path = Path(folder)
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        yield path
