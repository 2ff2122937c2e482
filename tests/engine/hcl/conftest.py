"""A fixture that writes templates and reads them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from provisioning.engine.hcl import Module, read_module

Read = Callable[..., Module]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write files by name (``{"main.tf": "…"}``, or the text of main.tf alone) and read the template."""

    def write_and_read(files: dict[str, str | bytes] | str | bytes) -> Module:
        for name, text in (files if isinstance(files, dict) else {"main.tf": files}).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_module(tmp_path)

    return write_and_read
