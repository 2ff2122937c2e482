"""The Makefile has every target that the documents name, and `make` alone explains each."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / ".ci" / "run", *ROOT.glob(".github/**/*.md")]
QUOTED = re.compile(r"`make ([a-z]+)")


def named(path: Path) -> set[str]:
    """Return the targets in code spans and at the start of lines in shell blocks, also after assignments."""
    text = path.read_text()
    blocks = "\n".join(re.findall(r"^ *```sh\n(.*?)```", text, re.MULTILINE | re.DOTALL)) or text
    commands = re.findall(r"^ *(?:[A-Z_]+=(?:'[^']*'|\S+) +)*make ([a-z]+)", blocks, re.MULTILINE)
    return set(QUOTED.findall(text)) | set(commands)


def test_documents_name_targets() -> None:
    found = set().union(*map(named, DOCUMENTS))
    assert {"up", "demo", "test", "check", "setup"} <= found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_named_target_exists(path: Path) -> None:
    assert named(path) <= TARGETS


def test_messages_name_existing_targets() -> None:
    folders = ("coderproj", "provisioning", "templates_app", "deploy")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert {target for path in sources for target in QUOTED.findall(path.read_text())} <= TARGETS


def test_every_target_is_explained_and_is_no_file() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^  make ([a-z]+) +\S", listed, re.MULTILINE)) == TARGETS
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert set(phony.group(1).split()) == TARGETS
