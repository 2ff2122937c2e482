"""Templates cannot reach secrets, the host, state, or modules and providers from other places."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from provisioning.engine import sandbox
from provisioning.engine.base import (
    EngineError,
    LogLevel,
    ParameterValue,
    Stage,
)
from provisioning.engine.sandbox import SandboxKind
from provisioning.engine.terraform import TerraformEngine
from provisioning.engine.terraform.output import MASK

from .engines import REQUIRED, SETTINGS, every_program, every_way, outputs, plan_import
from .recording import MIXED, Recorder, template
from .test_command import wait_for

pytestmark = pytest.mark.terraform


@pytest.mark.promise("S11")
@every_program
def test_sensitive_values_are_masked_everywhere(engine: TerraformEngine, tmp_path: Path) -> None:
    content = 'variable "key" {}\nresource "terraform_data" "x" {\n  input = file("/${var.key}")\n}\n'
    log = Recorder()
    with pytest.raises(EngineError) as caught:
        plan_import(engine, template(tmp_path, content), ParameterValue("key", "hunter22", sensitive=True), log=log)
    assert "hunter22" not in str(caught.value) + log.text
    assert MASK in str(caught.value)


@pytest.mark.promise("S11")
@every_program
def test_the_default_of_a_sensitive_variable_is_masked(engine: TerraformEngine, tmp_path: Path) -> None:
    content = (
        'variable "key" {\n  sensitive = true\n  default = "hunter22"\n}\n'
        'resource "terraform_data" "x" {\n  input = file("/${nonsensitive(var.key)}")\n}\n'
    )
    log = Recorder()
    with pytest.raises(EngineError) as caught:
        plan_import(engine, template(tmp_path, content), log=log)
    assert "hunter22" not in str(caught.value) + log.text


@pytest.mark.skipif(sandbox.available() is SandboxKind.OFF, reason="no sandbox works on this machine")
@every_way
def test_the_host_is_not_reachable(engine: TerraformEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter22")
    (tmp_path / "neighbour").write_text("another tenant's")
    found = outputs(
        engine,
        tmp_path,
        passwords='try(file("/etc/passwd"), "denied")',
        own_environment='try(file("/proc/self/environ"), "denied")',
        environment=f'try(file("/proc/{os.getpid()}/environ"), "denied")',
        neighbour='try(file("${path.module}/../neighbour"), "denied")',
        listing=f'length(fileset("{tmp_path.parent}", "**")) == 0 ? "denied" : "seen"',
        program=f'try(file("{Path(__file__)}"), "denied")',
    )
    assert set(found.values()) == {"denied"}
    assert len(found) == 6


@pytest.mark.parametrize(
    "block", ['backend "local" {}', 'backend "http" {\n address = "http://127.0.0.1:9/"\n }', "cloud {}"]
)
def test_backends_are_rejected(engine: TerraformEngine, tmp_path: Path, block: str) -> None:
    with pytest.raises(EngineError, match=r"^main\.tf:2: a template must not have a backend or cloud block"):
        plan_import(engine, template(tmp_path, f"terraform {{\n  {block}\n}}\n"))


def test_remote_state_is_rejected(engine: TerraformEngine, tmp_path: Path) -> None:
    content = (
        'data "terraform_remote_state" "x" {\n  backend = "http"\n  config = { address = "http://127.0.0.1:9/" }\n}\n'
    )
    with pytest.raises(EngineError, match=r"^main\.tf:1: a template must not read terraform_remote_state"):
        plan_import(engine, template(tmp_path, content))


def test_module_sources_on_the_host_are_rejected(engine: TerraformEngine, tmp_path: Path) -> None:
    for number, source in enumerate(("/etc", "file:///etc", "git::file:///srv/a.git", "~/a")):
        content = f'module "m" {{\n  source = "{source}"\n}}\n'
        with pytest.raises(EngineError, match=r"module m \(main\.tf:1\) is outside the template: "):
            plan_import(engine, template(tmp_path / str(number), content))


def test_a_job_removes_its_folder(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    engine = TerraformEngine(replace(SETTINGS, scratch=scratch))
    root = template(tmp_path, MIXED.read_text())
    plan_import(engine, root)
    with pytest.raises(EngineError):
        plan_import(engine, root, ParameterValue("region", "mars"))
    assert wait_for(lambda: list(scratch.iterdir()) == [])


# ---------------------------------------------------------------------- providers that cannot be installed
DOCKER = REQUIRED.replace("\n  }\n}", '\n    docker = { source = "kreuzwerker/docker" }\n  }\n}') + (
    'data "coder_workspace" "me" {}\n'
    'resource "coder_agent" "main" {\n  os   = "linux"\n  arch = "amd64"\n}\n'
    'resource "docker_volume" "home" {\n  name = "home"\n}\n'
    'resource "docker_container" "workspace" {\n'
    "  count = data.coder_workspace.me.start_count\n"
    '  image = "ubuntu"\n  name  = "dev"\n  env   = ["TOKEN=${coder_agent.main.token}"]\n'
    '  volumes {\n    container_path = "/home"\n    volume_name    = docker_volume.home.name\n  }\n}\n'
)


@every_program
def test_a_stub_replaces_a_provider_that_cannot_be_installed(engine: TerraformEngine, tmp_path: Path) -> None:
    log = Recorder()
    result = plan_import(engine, template(tmp_path, DOCKER), log=log)
    assert result.unverified_providers == ("registry.terraform.io/kreuzwerker/docker",)
    assert [(r.type, r.name) for r in result.start.resources] == [
        ("docker_volume", "home"),
        ("docker_container", "workspace"),
    ]
    assert [agent.name for agent in result.start.resources[1].agents] == ["main"]
    assert [r.name for r in result.stop.resources] == ["home"]
    (warning,) = log.outputs(Stage.INSTALLING, LogLevel.WARN)
    assert warning.startswith("provider registry.terraform.io/kreuzwerker/docker could not be installed: ")
    assert warning.endswith("a stub replaces it, so this version is unverified")


def test_without_stubs_an_unavailable_provider_fails_the_import(tmp_path: Path) -> None:
    engine = TerraformEngine(replace(SETTINGS, stub_providers=False))
    with pytest.raises(
        EngineError, match=r"^provider registry\.terraform\.io/kreuzwerker/docker could not be installed: "
    ):
        plan_import(engine, template(tmp_path, DOCKER))
