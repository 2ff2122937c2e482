"""The commands of docs/quickstart.md, run as a script."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.coderproj.up_process import ROOT, lines_until, running
from tests.shared_setup import copy, reachable_folder

PAGE = (ROOT / "docs" / "quickstart.md").read_text()
START, *STEPS = (
    re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
)
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def server(first_start: Path) -> Iterator[str]:
    """The address of a server that was started with the command of the page."""
    assert START.strip() == f"CODERPROJ_ADMIN_PASSWORD='{PASSWORD}' make up"
    with reachable_folder() as folder:
        copy(first_start / "data" / "static", folder / "static")
        with running(folder, CODERPROJ_ADMIN_PASSWORD=PASSWORD) as (url, process):
            lines_until(process, "First user")
            yield url


@pytest.mark.terraform
def test_quickstart_promotes_and_dry_runs_a_template(server: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "templates_app" / "starters", tmp_path / "templates_app" / "starters")
    script = "\necho; echo ---\n".join(STEPS).replace("http://localhost:3000", server)
    done = subprocess.run(
        ["sh", "-eu", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    imported, created, promoted, dry_run = done.stdout.split("\n---\n")[-4:]
    assert "'status': 'succeeded'" in imported
    assert created.strip() == ""
    assert "Updated the active template version" in promoted
    resources = json.loads(dry_run.strip().splitlines()[-1])
    assert {row["workspace_transition"] for row in resources} == {"start"}


@pytest.mark.terraform
def test_failed_sign_in_is_reported(server: str) -> None:
    script = STEPS[0].replace("http://localhost:3000", server).replace(PASSWORD, "another password")
    done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "refused" in done.stderr
    assert "Traceback" not in done.stderr
