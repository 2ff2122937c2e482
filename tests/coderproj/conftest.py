"""Fixtures for tests that run the whole program."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.coderproj.up_process import lines_until, running
from tests.shared_setup import copy, filled_once, reachable_folder

FIRST_USER = {"email": "ada@example.test", "password": "from a mounted file"}


@pytest.fixture(scope="session")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a server that was started for the first time and stopped: ``data`` is its data folder,
    ``printed`` its output. Its first user, FIRST_USER, came from the environment. All test processes share it."""

    def start(folder: Path) -> None:
        data, secret = folder / "data", folder / "password"
        data.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700)
        secret.write_text(f"{FIRST_USER['password']}\n")
        variables = {"CODERPROJ_ADMIN_EMAIL": FIRST_USER["email"], "CODERPROJ_ADMIN_PASSWORD_FILE": str(secret)}
        with running(data, "--no-daemon", **variables) as (_, process):
            (folder / "printed").write_text("".join(lines_until(process, "First user")))

    return filled_once(tmp_path_factory, "first-start", start)


@pytest.fixture
def data_dir(first_start: Path) -> Iterator[Path]:
    """A data folder without a database. It contains the compressed static files, because compressing them takes longer
    than the rest of a start."""
    with reachable_folder() as folder:
        copy(first_start / "data" / "static", folder / "static")
        yield folder


@pytest.fixture
def used_data_dir(first_start: Path) -> Iterator[Path]:
    """The data folder of a stopped server, with a database and a first user."""
    with reachable_folder() as folder:
        copy(first_start / "data", folder)
        yield folder


@pytest.fixture(scope="module")
def used_module_dir(first_start: Path) -> Iterator[Path]:
    """Like ``used_data_dir``, shared by the tests of a module."""
    with reachable_folder() as folder:
        copy(first_start / "data", folder)
        yield folder
