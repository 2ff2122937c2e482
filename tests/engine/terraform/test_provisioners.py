"""Provisioners in builds: programs run in a sandbox, other provisioners are refused."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from provisioning.engine import sandbox
from provisioning.engine.base import EngineError, Limits
from provisioning.engine.sandbox import SandboxUnavailableError
from provisioning.engine.terraform import TerraformEngine
from provisioning.engine.terraform.command import LimitExceededError

from .engines import SETTINGS, Workspace, every_program
from .installed.inventory import Inventory
from .recording import template

pytestmark = pytest.mark.terraform


def running(command: str, *, more: str = "") -> str:
    return (
        f'resource "terraform_data" "first" {{}}\nresource "terraform_data" "x" {{\n  input = terraform_data.first.id\n'
        f'  provisioner "local-exec" {{\n    command = {json.dumps(command)}\n  }}\n{more}}}\n'
    )


@pytest.fixture
def with_programs(engine: TerraformEngine) -> TerraformEngine:
    """An engine in whose sandbox programs can run."""
    try:
        sandbox.choose("bubblewrap")
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    return engine


@every_program
def test_local_exec_runs_the_systems_programs(with_programs: TerraformEngine, tmp_path: Path) -> None:
    command = "echo made by $(basename /usr/bin/env) for $WHO"
    root = template(tmp_path, running(command).replace("command =", 'environment = { WHO = "ada" }\n    command ='))
    workspace = Workspace(with_programs, root)
    workspace.build("start")
    assert "made by env for ada" in workspace.log.text


@every_program
def test_local_exec_sees_neither_the_host_nor_its_network(with_programs: TerraformEngine, tmp_path: Path) -> None:
    (tmp_path / "neighbour").write_text("another tenant's")
    with Inventory(tmp_path / "s.sock") as service:
        command = (
            f"cat /etc/passwd {tmp_path}/neighbour && echo seen; ls /proc/{os.getpid()}/environ && echo seen;"
            f" test -S {service.path} && echo seen; ls /sys/class/net 2>/dev/null | grep -v '^lo$' && echo seen; true"
        )
        workspace = Workspace(with_programs, template(tmp_path, running(command)))
        workspace.build("start")
    assert not [text for text in workspace.log.outputs() if text.rstrip().endswith("): seen")]


def test_failed_local_exec_leaves_its_resource_in_the_state(with_programs: TerraformEngine, tmp_path: Path) -> None:
    workspace = Workspace(with_programs, template(tmp_path, running("exit 3")))
    with pytest.raises(EngineError, match="exit status 3"):
        workspace.build("start")
    assert workspace.addresses == ["terraform_data.first", "terraform_data.x"]


@every_program
def test_output_beyond_the_limit_ends_an_apply_gently(with_programs: TerraformEngine, tmp_path: Path) -> None:
    settings = replace(with_programs._settings, limits=Limits(output_bytes=200_000))
    root = template(tmp_path, running("while true; do echo a line of a loop without an end; done"))
    workspace = Workspace(type(with_programs)(settings), root)
    with pytest.raises(LimitExceededError, match="wrote more than 200000 bytes"):
        workspace.build("start")
    assert "terraform_data.first" in workspace.addresses


@pytest.mark.parametrize("kind", ["remote-exec", "file"])
def test_provisioners_that_need_a_network_are_refused(engine: TerraformEngine, tmp_path: Path, kind: str) -> None:
    content = running("true").replace("local-exec", kind)
    workspace = Workspace(engine, template(tmp_path, content))
    with pytest.raises(EngineError, match=rf"main\.tf:4: the provisioner '{kind}' connects to other machines"):
        workspace.build("start")


def test_local_exec_is_refused_in_a_sandbox_that_leaves_sockets_open(tmp_path: Path) -> None:
    try:
        used = TerraformEngine(replace(SETTINGS, sandbox="landlock"))
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    workspace = Workspace(used, template(tmp_path, {"main.tf": "", "vm.tf": running("true")}))
    with pytest.raises(EngineError, match=r"vm\.tf:4: the provisioner 'local-exec' runs programs.*bubblewrap"):
        workspace.build("start")
