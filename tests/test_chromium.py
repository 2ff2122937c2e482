"""Without Chromium a run that includes browser tests fails before its first test, with the package to install."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import chromium

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("arguments", "options", "is_needed"),
    [
        ([str(ROOT / "tests")], {}, True),
        ([str(ROOT)], {}, True),
        ([str(ROOT / "tests" / "e2e" / "test_forms.py::test_x")], {}, True),
        ([str(ROOT / "tests" / "deploy"), str(ROOT / "tests" / "e2e")], {}, True),
        ([str(ROOT / "tests" / "deploy")], {}, False),
        ([str(ROOT / "tests" / "test_guards.py")], {}, False),
        ([str(ROOT / "tests")], {"markexpr": "not e2e"}, False),
        ([str(ROOT / "tests")], {"keyword": "locks"}, False),
        ([str(ROOT / "tests")], {"ignore": [str(ROOT / "tests" / "e2e")]}, False),
    ],
)
def test_a_browser_is_needed_for_runs_that_include_its_tests(pytestconfig, monkeypatch, arguments, options, is_needed):
    for name in ("markexpr", "keyword", "ignore"):
        monkeypatch.setattr(pytestconfig.option, name, options.get(name))
    monkeypatch.setattr(pytestconfig, "args", arguments)
    assert chromium.is_needed(pytestconfig) is is_needed


def test_a_run_without_chromium_names_the_package_and_starts_no_test():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/e2e/test_forms.py"],
        cwd=ROOT,
        env={**os.environ, "PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (pytest.ExitCode.USAGE_ERROR, "")
    assert "apt install chromium" in done.stderr
