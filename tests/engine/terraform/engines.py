"""Engines for tests, shortcuts for using them, and parts of templates."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from provisioning.engine.base import (
    ApproveCost,
    BuildInput,
    BuildResult,
    ImportResult,
    Log,
    ParameterValue,
    PlanInput,
    Transition,
    WorkspaceContext,
)
from provisioning.engine.terraform import EngineSettings, TerraformEngine
from provisioning.engine.terraform.job import Job

from .recording import Recorder, template

SETTINGS = EngineSettings(network=False)
# The ways of running Terraform, for the fixture ``engine``. A warm process is started before its job is known. Most
# tests run in one way; those of what differs between the programs or their processes name more ways by these marks.
EXECUTABLE, LIBRARY, WARM_LIBRARY = "executable", "library", "warm library"
every_way = pytest.mark.parametrize("engine", [EXECUTABLE, LIBRARY, WARM_LIBRARY], indirect=True)
every_program = pytest.mark.parametrize("engine", [EXECUTABLE, WARM_LIBRARY], indirect=True)
by_executable = pytest.mark.parametrize("engine", [EXECUTABLE], indirect=True)
AGENT = 'resource "coder_agent" "main" {\n  os   = "linux"\n  arch = "amd64"\n}\n'
BOX = 'resource "terraform_data" "box" {\n  input = coder_agent.main.token\n}\n'


def required(**sources: str) -> str:
    """Return the block that requires the coder provider and those with these names and sources."""
    listed = "".join(f'    {name} = {{ source = "{source}" }}\n' for name, source in sources.items())
    return f'terraform {{\n  required_providers {{\n    coder = {{ source = "coder/coder" }}\n{listed}  }}\n}}\n'


REQUIRED = required()
# A template whose workspace has a home, and a machine with an agent while it runs.
LIFE = (
    REQUIRED
    + """
data "coder_workspace" "me" {}
data "coder_parameter" "size" {
  name    = "size"
  default = "1"
  mutable = true
}
resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
}
resource "coder_app" "editor" {
  agent_id = coder_agent.main.id
  slug     = "editor"
  url      = "http://localhost:8080"
}
resource "terraform_data" "home" {
  input = data.coder_workspace.me.name
}
resource "terraform_data" "machine" {
  count = data.coder_workspace.me.start_count
  input = { token = coder_agent.main.token, size = data.coder_parameter.size.value, home = terraform_data.home.id }
}
resource "coder_metadata" "machine" {
  count       = data.coder_workspace.me.start_count
  resource_id = terraform_data.machine[0].id
  daily_cost  = 3
  item {
    key   = "size"
    value = data.coder_parameter.size.value
  }
}
"""
)


class WarmEngine(TerraformEngine):
    """Warms up for each job before its template is unpacked, as a runner does."""

    @contextmanager
    def _job(self, directory: Path, plan_input: PlanInput, log: Log, stop: Event) -> Iterator[Job]:
        with self._warm(directory), super()._job(directory, plan_input, log, stop) as job:
            yield job

    def build(self, directory: Path, build: BuildInput, **options: Any) -> BuildResult:
        with self._warm(directory):
            return super().build(directory, build, **options)

    @contextmanager
    def _warm(self, directory: Path) -> Iterator[None]:
        aside = directory.rename(directory.with_name("aside"))
        directory.mkdir()
        self.warm_up(directory, with_sample_plan=False)
        shutil.copytree(aside, directory, dirs_exist_ok=True)
        shutil.rmtree(aside)
        try:
            yield
        finally:
            if runtime := self._warm_runtimes.pop(
                directory.resolve(), None
            ):  # the template was rejected before its plan
                runtime.close()


def plan_import(
    engine: TerraformEngine, directory: Path, *values: ParameterValue, log: Recorder | None = None
) -> ImportResult:
    plan_input = PlanInput(parameter_values=values)
    return engine.plan_import(directory, plan_input, log=log or Recorder(), stop=Event())


class Workspace:
    """The builds of one workspace by an engine. ``state`` is the last one that was saved, ``saved`` are those of the
    last build."""

    def __init__(self, engine: TerraformEngine, directory: Path, state: bytes = b"") -> None:
        self.engine = engine
        self.directory = directory
        self.state = state
        self.saved: list[bytes] = []
        self.log = Recorder()
        self.stop = Event()
        self.approve: ApproveCost | None = None

    def build(self, transition: str, *values: ParameterValue, **rich_values: str) -> BuildResult:
        """Build with the state of the build before. Raises like the engine."""
        self.saved, self.log = [], Recorder()
        context = WorkspaceContext(Transition(transition), workspace_id="w-1", workspace_name="dev", owner="ada")
        given = BuildInput(PlanInput(context, values, rich_values), self.state)
        return self.engine.build(
            self.directory, given, log=self.log, stop=self.stop, save_state=self.save, approve=self.approve
        )

    def save(self, state: bytes) -> None:
        self.saved.append(state)
        self.state = state

    @property
    def addresses(self) -> list[str]:
        """The managed resources in the state."""
        found = json.loads(self.state or b"{}").get("resources", ())
        return sorted(f"{one['type']}.{one['name']}" for one in found if one["mode"] == "managed" and one["instances"])


def planned(tmp_path: Path, *parts: str, log: Recorder | None = None, **values: str) -> ImportResult:
    """Plan the import of a template with these parts and values of rich parameters, without a network."""
    engine = TerraformEngine(SETTINGS)
    plan_input = PlanInput(rich_parameter_values=values)
    return engine.plan_import(template(tmp_path, "\n".join(parts)), plan_input, log=log or Recorder(), stop=Event())


def outputs(engine: TerraformEngine, tmp_path: Path, **expressions: str) -> dict[str, str]:
    """Return the values of Terraform expressions in a plan, read from a resource's metadata."""
    items = "".join(f'item {{\n key = "{name}"\n value = {code}\n}}\n' for name, code in expressions.items())
    content = (
        f'{REQUIRED}resource "terraform_data" "x" {{}}\n'
        f'resource "coder_metadata" "m" {{\n resource_id = terraform_data.x.id\n{items}}}\n'
    )
    (resource,) = plan_import(engine, template(tmp_path, content)).start.resources
    return {item.key: item.value or "" for item in resource.metadata}
