"""A client that openapi-python-client generates from the OpenAPI document does the main workflow on a live server."""

import importlib
import io
import os
import pkgutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.described import DOCUMENT
from tests.contract.sources import ARCHIVE
from tests.shared_setup import filled_once

pytestmark = pytest.mark.django_db

PACKAGE = "generated_client"
# Without the formatter, which the generator runs by default.
CONFIG = "post_hooks: []\n"
JOB_SECONDS = 30


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Generate the client once for all processes, and make its package importable. Return the generator's output."""

    def generate(folder: Path) -> None:
        (folder / "config.yaml").write_text(CONFIG)
        paths = {"--path": DOCUMENT, "--config": folder / "config.yaml", "--output-path": folder / PACKAGE}
        options = [text for option in paths.items() for text in map(str, option)]
        done = subprocess.run(
            [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", *options],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "COLUMNS": "400"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (folder / "printed").write_text(done.stdout + done.stderr)

    folder = filled_once(tmp_path_factory, PACKAGE, generate)
    sys.path.insert(0, str(folder))
    yield (folder / "printed").read_text()
    sys.path.remove(str(folder))


def module(name: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.{name}")


def test_every_schema_and_operation_is_generated(generated: str):
    """Only the downloads of archives have a body that the generator does not decode."""
    assert "Unable to" not in generated
    assert "duplicate" not in generated
    warnings = [line for line in generated.splitlines() if line.startswith("WARNING")]
    assert all("/files/{file}" in line or "/archive" in line for line in warnings), warnings
    package = importlib.import_module(PACKAGE)
    names = [found.name for found in pkgutil.walk_packages(package.__path__, f"{PACKAGE}.")]
    for name in names:
        importlib.import_module(name)
    assert len([name for name in names if ".api." in name]) > 100


class Workflow:
    """Calls the generated operations with the token of the deployment's owner."""

    def __init__(self, deployment: Any) -> None:
        self.client = module("client").AuthenticatedClient(
            base_url=deployment.url,
            token=deployment.token,
            prefix="",
            auth_header_name="Coder-Session-Token",
            raise_on_unexpected_status=True,
        )

    def call(self, operation: str, *arguments: Any, **options: Any) -> Any:
        """Return the decoded response of an operation, which must succeed."""
        response = module(f"api.{operation}").sync_detailed(*arguments, client=self.client, **options)
        assert response.parsed is not None, (response.status_code, response.content)
        return response.parsed

    def wait(self, read: Callable[[], Any]) -> Any:
        """Read a job until it has ended, and return it. It must have succeeded."""
        deadline = time.monotonic() + JOB_SECONDS
        while (job := read()).status.value in {"pending", "running"}:
            assert time.monotonic() < deadline, job
            time.sleep(0.05)
        assert job.status.value == "succeeded", job
        return job

    def import_version(self, file_id: Any, **fields: Any) -> Any:
        models = module("models")
        body = models.CreateVersionBodyRequest(file_id=file_id, provisioner=models.ProvisionerType("echo"), **fields)
        version = self.call("templateversions.create_template_version", "default", body=body)
        self.wait(lambda: self.call("templateversions.template_version", version.id).job)
        return version


def test_generated_client_does_the_main_workflow(generated: str, deployment):
    flow = Workflow(deployment)
    with flow.client:  # closes its connection
        do_main_workflow(flow)


def do_main_workflow(flow: Workflow) -> None:
    """Upload, import, make a template, promote a second version, dry-run it."""
    models, unset = module("models"), module("types").UNSET
    upload = flow.call("files.upload_file", body=module("types").File(payload=io.BytesIO(ARCHIVE)))
    values = [models.VariableValueBodyRequest(name="zone", value="b")]
    version = flow.import_version(upload.hash_, user_variable_values=values)
    assert version.template_id is unset
    (variable,) = flow.call("templateversions.template_version_parameters", version.id)
    assert (variable.name, variable.source_value) == ("zone", "b")

    body = models.CreateTemplateBodyRequest(name="generated", template_version_id=version.id)
    template = flow.call("templates.create_template", "default", body=body)
    assert template.active_version_id == version.id

    later = flow.import_version(upload.hash_, template_id=template.id, message="second")
    assert later.template_id == template.id
    flow.call("templates.promote_template_version", template.id, body=models.PatchedPromoteBodyRequest(id=later.id))
    assert flow.call("templates.template", template.id).active_version_id == later.id

    size = models.RichParameterValueBodyRequest(name="size", value="4")
    job = flow.call(
        "templateversions.create_template_version_dry_run",
        later.id,
        body=models.DryRunBodyRequest(rich_parameter_values=[size]),
    )
    flow.wait(lambda: flow.call("templateversions.template_version_dry_run", later.id, job.id))
    resources = flow.call("templateversions.template_version_dry_run_resources", later.id, job.id)
    assert [(row.name, row.workspace_transition.value) for row in resources] == [("box", "start")]
    lines = flow.call("templateversions.template_version_dry_run_logs", later.id, job.id)
    assert [line.id for line in lines] == list(range(1, len(lines) + 1))
