"""Migrations of filled databases of earlier versions lose nothing, and workspaces can be built from what they have."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.security.tools import new_database
from tests.templates_app.upgrade import STATES

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("state", STATES)
def test_filled_database_of_an_earlier_version_is_migrated(state):
    with new_database(f"upgraded_{os.getpid()}") as url:
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.templates_app.upgrade", state],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout)
    assert found["changed"] == []
    assert {"templates_app_template", "templates_app_richparameter", "provisioning_provisionerjob"} <= {
        table for table, count in found["rows"].items() if count
    }
    # Parameters keep their values until their version is imported again.
    assert (found["ephemeral"], found["parameters"] > 0) == (0, True)
    had_workspaces = bool(found["rows"].get("workspaces_workspace"))
    assert had_workspaces == (state == "first-workspaces")
    assert found["workspaces"] == found["stops"] == found["rows"].get("workspaces_workspace", 0) + 1
    assert found["due"] >= 1
