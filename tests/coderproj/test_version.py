"""The version has one source, ``coderproj.__version__``, and is shown by commands and pages."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from django.conf import settings

from coderproj import __version__
from tests.factories import make_user
from tests.pages import browser, text_of

ROOT = Path(__file__).parents[2]


def test_the_project_takes_its_version_from_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "coderproj.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|rc\d+)?", __version__)


@pytest.mark.parametrize(
    "arguments",
    [
        ("manage.py", "--version"),
        ("manage.py", "version"),
        ("manage.py", "templates", "--version"),
        ("manage.py", "provisionerd", "--version"),
        ("-m", "provisioning.daemon", "--version"),
    ],
    ids=" ".join,
)
def test_commands_print_the_version(arguments):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"coderproj {__version__}\n"


@pytest.mark.django_db
def test_pages_show_the_version_when_signed_in():
    shown = f"{settings.BRAND} {__version__}"
    assert shown in text_of(browser(make_user()).get("/account"))
    assert shown not in text_of(browser().get("/login"))


def test_the_changelog_starts_with_unreleased_and_has_the_version():
    headings = re.findall(r"^## \[?([^\]\s]+)\]?(?: - (\d{4}-\d\d-\d\d))?$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[0] == ("Unreleased", "")
    assert all(date for _, date in headings[1:])
    assert __version__ in {version for version, _ in headings}
