"""Builds with an installed provider, what ends their applies early, and full disks."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from provisioning.engine import sandbox
from provisioning.engine.base import Canceled, EngineError, Limits
from provisioning.engine.sandbox import SandboxUnavailableError
from provisioning.engine.terraform import TerraformEngine
from provisioning.engine.terraform.command import CommandTimeoutError

from .engines import LIFE, REQUIRED, Workspace, every_program, every_way
from .installed.inventory import Inventory
from .installed.registry import HOST, TOY, TOY_FILES, write_mirror
from .recording import template

pytestmark = pytest.mark.terraform


# ---------------------------------------------------------------------- installed providers
@pytest.fixture
def inventory(tmp_path: Path) -> Iterator[Inventory]:
    with Inventory(tmp_path / "i.sock") as found:
        yield found


def toys(folder: Path, engine: TerraformEngine, inventory: Inventory, **limits: object) -> TerraformEngine:
    """Return an engine of the same kind with the toy provider."""
    write_mirror(folder / "cache", "1.0.0")
    settings = replace(
        engine._settings,
        plugin_cache=folder / "cache",
        provider_read_paths=TOY_FILES,
        provider_sockets=(inventory.path,),
        limits=replace(Limits(), **limits),
    )
    return type(engine)(settings)


def things(inventory: Inventory, **blocks: str) -> str:
    """Return a template of things of the toy provider."""
    listed = "".join(
        f'resource "toy_thing" "{name}" {{\n  name = "{name}"\n  inventory = "{inventory.path}"\n  {more}\n}}\n'
        for name, more in blocks.items()
    )
    return (
        'terraform {\n  required_providers {\n    coder = { source = "coder/coder" }\n'
        f'    toy = {{ source = "{HOST}/acme/toy" }}\n  }}\n}}\n{listed}'
    )


@every_way
def test_installed_provider_is_applied(engine: TerraformEngine, tmp_path: Path, inventory: Inventory) -> None:
    root = template(tmp_path, things(inventory, a="", b="depends_on = [toy_thing.a]"))
    workspace = Workspace(toys(tmp_path, engine, inventory), root)
    assert [one.name for one in workspace.build("start").resources] == ["a", "b"]
    assert inventory.existing == {"a", "b"}
    workspace.build("delete")
    assert inventory.existing == set()


def test_failure_of_a_provider_half_way_saves_what_exists(
    engine: TerraformEngine, tmp_path: Path, inventory: Inventory
) -> None:
    root = template(tmp_path, things(inventory, a="", b="fails = toy_thing.a.id != null"))
    workspace = Workspace(toys(tmp_path, engine, inventory), root)
    with pytest.raises(EngineError, match="The toy broke"):
        workspace.build("start")
    assert inventory.existing == {"a"}
    assert workspace.addresses == ["toy_thing.a"]


def test_provider_of_the_state_destroys_what_the_template_no_longer_has(
    engine: TerraformEngine, tmp_path: Path, inventory: Inventory
) -> None:
    used = toys(tmp_path, engine, inventory)
    first = Workspace(used, template(tmp_path / "a", things(inventory, a="")))
    first.build("start")
    second = Workspace(used, template(tmp_path / "b", LIFE), first.state)
    second.build("start")
    assert inventory.existing == set()
    assert "toy_thing.a" not in second.addresses


def test_unavailable_provider_of_the_state_is_named(
    engine: TerraformEngine, tmp_path: Path, inventory: Inventory
) -> None:
    first = Workspace(toys(tmp_path, engine, inventory), template(tmp_path / "a", things(inventory, a="")))
    first.build("start")
    without = Workspace(engine, template(tmp_path / "b", LIFE), first.state)
    for transition in ("start", "delete"):
        with pytest.raises(EngineError, match=rf"provider {TOY} could not be installed"):
            without.build(transition)
    assert inventory.existing == {"a"}


@pytest.mark.parametrize("address", ["acme/none", "hashicorp/random"])
def test_unavailable_provider_is_named_and_no_stub_replaces_it(
    engine: TerraformEngine, tmp_path: Path, address: str
) -> None:
    name = address.rpartition("/")[2]
    content = f'terraform {{\n  required_providers {{\n    {name} = {{ source = "{address}" }}\n  }}\n}}\n'
    workspace = Workspace(engine, template(tmp_path, f'{content}resource "{name}_thing" "x" {{}}\n'))
    with pytest.raises(EngineError, match=rf"provider registry\.terraform\.io/{address} could not be installed"):
        workspace.build("start")
    assert workspace.saved == []
    assert not any("stub" in text for text in workspace.log.outputs())


@contextmanager
def canceling(workspace: Workspace, inventory: Inventory) -> Iterator[None]:
    """Cancel the build in the block while it makes the thing ``b``."""

    def cancel() -> None:
        inventory.wait_for("~b")
        workspace.stop.set()

    thread = threading.Thread(target=cancel)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize("kind", ["landlock", "bubblewrap"])
@every_program
def test_cancel_during_the_apply_saves_what_was_being_created(
    engine: TerraformEngine, tmp_path: Path, inventory: Inventory, kind: str
) -> None:
    """BLD-32."""
    try:
        sandbox.choose(kind)
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    engine = type(engine)(replace(engine._settings, sandbox=kind))
    content = things(inventory, a="", b="seconds = toy_thing.a.id == null ? 0 : 1", c="depends_on = [toy_thing.b]")
    workspace = Workspace(toys(tmp_path, engine, inventory), template(tmp_path, content))
    with canceling(workspace, inventory), pytest.raises(Canceled):
        workspace.build("start")
    assert inventory.existing == {"a", "b"}
    assert workspace.addresses == ["toy_thing.a", "toy_thing.b"]
    workspace.stop.clear()
    workspace.build("delete")
    assert inventory.existing == set()


@every_program
def test_time_limit_of_an_apply_saves_what_was_being_created(
    engine: TerraformEngine, tmp_path: Path, inventory: Inventory
) -> None:
    root = template(tmp_path, things(inventory, a="seconds = 12", b="depends_on = [toy_thing.a]"))
    workspace = Workspace(toys(tmp_path, engine, inventory, build_seconds=12), root)
    with pytest.raises(CommandTimeoutError):
        workspace.build("start")
    assert inventory.existing == {"a"}
    assert workspace.addresses == ["toy_thing.a"]


@every_program
def test_apply_that_does_not_end_in_its_grace_is_killed(
    engine: TerraformEngine, tmp_path: Path, inventory: Inventory
) -> None:
    root = template(tmp_path, things(inventory, a="", b="seconds = toy_thing.a.id == null ? 0 : 60"))
    workspace = Workspace(toys(tmp_path, engine, inventory, apply_grace_seconds=0.5), root)
    with canceling(workspace, inventory), pytest.raises(Canceled):
        workspace.build("start")
    assert workspace.addresses == ["toy_thing.a"]


# ---------------------------------------------------------------------- full disks
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("also_the_template", [False, True], ids=["state", "everything"])
@every_program
def test_state_survives_a_full_disk(engine: TerraformEngine, tmp_path: Path, also_the_template: bool) -> None:
    """Terraform writes the state to another folder, or else to its output."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("mounting is not permitted")
    try:
        content = REQUIRED + (
            f'resource "terraform_data" "large" {{\n  input = join("", [for i in range(700) : "{"x" * 600}"])\n}}\n'
        )
        root = template(disk if also_the_template else tmp_path, content)
        used = type(engine)(replace(engine._settings, scratch=disk))
        workspace = Workspace(used, root)
        with pytest.raises(EngineError, match="apply for start failed"):
            workspace.build("start")
        assert workspace.addresses == ["terraform_data.large"]
        assert "xxxx" not in workspace.log.text
    finally:
        shutil.rmtree(disk, ignore_errors=True)
        subprocess.run(["umount", "--lazy", str(disk)], check=False)
