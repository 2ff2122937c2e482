"""Engines for tests, and shortcuts for using them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from provisioning.engine.base import (
    ImportResult,
    Log,
    ParameterValue,
    PlanInput,
)
from provisioning.engine.terraform import EngineSettings, TerraformEngine
from provisioning.engine.terraform.job import Job

from .recording import Recorder, template

REQUIRED = 'terraform {\n  required_providers {\n    coder = { source = "coder/coder" }\n  }\n}\n'
SETTINGS = EngineSettings(network=False)


class WarmEngine(TerraformEngine):
    """Warms up for each job before its template is unpacked, as a runner does."""

    @contextmanager
    def _job(self, directory: Path, plan_input: PlanInput, log: Log, stop: Event) -> Iterator[Job]:
        aside = directory.rename(directory.with_name("aside"))
        directory.mkdir()
        self.warm_up(directory, with_sample_plan=False)
        shutil.copytree(aside, directory, dirs_exist_ok=True)
        shutil.rmtree(aside)
        try:
            with super()._job(directory, plan_input, log, stop) as job:
                yield job
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


def outputs(engine: TerraformEngine, tmp_path: Path, **expressions: str) -> dict[str, str]:
    """Return the values of Terraform expressions in a plan, read from a resource's metadata."""
    items = "".join(f'item {{\n key = "{name}"\n value = {code}\n}}\n' for name, code in expressions.items())
    content = (
        f'{REQUIRED}resource "terraform_data" "x" {{}}\n'
        f'resource "coder_metadata" "m" {{\n resource_id = terraform_data.x.id\n{items}}}\n'
    )
    (resource,) = plan_import(engine, template(tmp_path, content)).start.resources
    return {item.key: item.value or "" for item in resource.metadata}
