"""Servers for tests of the embedded database."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coderproj.postgres import EmbeddedPostgres
from tests.coderproj.postgres.servers import (
    new_home,
)


@pytest.fixture
def home() -> Iterator[Path]:
    folder = new_home()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def used() -> Iterator[Path]:
    """A root with an existing database, for tests that are not about creating one."""
    folder = new_home()
    with EmbeddedPostgres(folder / "pg"):
        pass
    yield folder / "pg"
    shutil.rmtree(folder)


@pytest.fixture
def make() -> Iterator[Callable[..., EmbeddedPostgres]]:
    """Creates servers that are stopped when the test ends, even if it fails."""
    made: list[EmbeddedPostgres] = []

    def make_one(root: Path, *, fast_and_unsafe: bool = True) -> EmbeddedPostgres:
        made.append(EmbeddedPostgres(root, fast_and_unsafe=fast_and_unsafe))
        return made[-1]

    yield make_one
    for server in made:
        server.stop()
