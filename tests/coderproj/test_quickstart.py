"""The commands of docs/quickstart.md, as somebody pastes them."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.coderproj.starting import ROOT, lines_until, running
from tests.shared_work import copy, reachable_folder

PAGE = (ROOT / "docs" / "quickstart.md").read_text()
START, *STEPS = (
    re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
)
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def server(first_start: Path) -> Iterator[str]:
    """Started as the page says; its address."""
    assert START.strip() == f"CODERPROJ_ADMIN_PASSWORD='{PASSWORD}' make up"
    with reachable_folder() as folder:
        copy(first_start / "data" / "static", folder / "static")
        with running(folder, CODERPROJ_ADMIN_PASSWORD=PASSWORD) as (url, process):
            lines_until(process, "First user")
            yield url


@pytest.mark.terraform
def test_the_quickstart_leads_to_a_promoted_and_tried_template(server: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "templates_app" / "starters", tmp_path / "templates_app" / "starters")
    script = "\necho; echo ---\n".join(STEPS).replace("http://localhost:3000", server)
    done = subprocess.run(
        ["sh", "-eu", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    imported, made, promoted, tried = done.stdout.split("\n---\n")[-4:]
    assert "'status': 'succeeded'" in imported
    assert made.strip() == ""
    assert "Updated the active template version" in promoted
    resources = json.loads(tried.strip().splitlines()[-1])
    assert {row["workspace_transition"] for row in resources} == {"start"}


@pytest.mark.terraform
def test_a_failed_sign_in_is_told(server: str) -> None:
    script = STEPS[0].replace("http://localhost:3000", server).replace(PASSWORD, "another password")
    done = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "refused" in done.stderr
    assert "Traceback" not in done.stderr
