"""The test suite of the PyPI client ``coder-api``, run in a subprocess against a live server."""

import os
import re
import subprocess
import sys
from importlib.metadata import distribution

import pytest

from tests.contract.command_line import CommandLine
from tests.contract.sources import ARCHIVE

pytestmark = pytest.mark.django_db

RESULT = re.compile(r"^(test_\w+) \(.*\) ?\.\.\. ?(?:.*\n)*?(ok|FAIL|ERROR)$", re.MULTILINE)


@pytest.fixture(scope="module")
def results(deployment) -> dict[str, str]:
    """Return ``ok``, ``FAIL`` or ``ERROR`` for each test of the client. The tests need a template."""
    cli = CommandLine(deployment.url, deployment.token)
    cli.templates_create("existing", ARCHIVE)
    cli.close()
    # The script imports dotenv (python-dotenv), which its package does not declare.
    script = distribution("coder-api").locate_file("tests/test_core.py")
    process = subprocess.run(
        (sys.executable, "-W", "ignore", str(script), "-v"),
        env=os.environ | {"CODER_TOKEN": deployment.token, "API_DOMAIN": f"{deployment.url}/api/v2/"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    return {match[1]: match[2] for match in RESULT.finditer(process.stderr)}


def test_all_tests_of_the_client_pass(results):
    assert len(results) == 18
    assert {name: result for name, result in results.items() if result != "ok"} == {}
    print(f"coder-api: {len(results)} passed")
