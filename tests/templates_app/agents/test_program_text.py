"""The text of our own agent, without running it."""

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
from django.conf import settings

from provisioning.engine.provider.init_scripts import init_script
from templates_app.agents.program import FOLDER, agent
from templates_app.agents.serializers.bodies import VERSION
from tests.templates_app.agents.machines import SHELLS, shell

SHELLCHECK = (str(Path(sysconfig.get_path("scripts")) / "shellcheck"), "--shell=sh", "--severity=style", "-")


def code():
    """Return the script without its comments."""
    return re.sub(r"(?m)^\s*#.*$", "", agent().decode())


@pytest.mark.parametrize("text", [agent().decode(), init_script("linux", "amd64")], ids=["agent", "init"])
def test_shellcheck_finds_nothing(text):
    found = subprocess.run(SHELLCHECK, input=text, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("name", list(SHELLS))
def test_every_shell_reads_it(name):
    read = subprocess.run([*shell(name), "-n"], input=agent(), capture_output=True, check=False)
    assert (read.returncode, read.stderr) == (0, b"")


def test_version():
    """It is that of the server, in a form that the server accepts."""
    assert f"_version='{settings.BUILD_VERSION}'" in code()
    assert VERSION.fullmatch(settings.BUILD_VERSION)
    assert not re.search("@[A-Z]+@", code())


def test_the_clock_is_not_used():
    """A clock that jumps changes nothing, because only lengths of sleeps count."""
    assert not re.search(r"\bdate\b|SECONDS\b|EPOCH|systime|srand|\btime\b", code().replace("--max-time", ""))


def test_nothing_is_evaluated():
    assert not re.search(r"\beval\b|^\s*\. |\bsource\b|\bsystem\(|getline", code(), re.MULTILINE)


def test_names_hide_no_variable_of_the_startup_script():
    """All variables of the shell begin with an underscore, or have the meaning that every program knows."""
    shell_code = re.sub(r"awk [^']*'[^']*'", "", "".join(path.read_text() for path in FOLDER.glob("*.sh")))
    assigned = set(re.findall(r"(?m)^ *(?:.*\) )?(\w+)=", re.sub(r"(?m)^ *#.*$", "", shell_code)))
    assert len(assigned) > 40
    assert {name for name in assigned if not name.startswith("_")} == {"IFS", "LC_ALL"}


def test_parts_are_short_and_the_parser_fits_between_quotes():
    parts = [*FOLDER.glob("*.sh"), FOLDER / "json.awk"]
    assert all(len(path.read_text().splitlines()) <= 400 for path in parts)
    assert "'" not in (FOLDER / "json.awk").read_text()
