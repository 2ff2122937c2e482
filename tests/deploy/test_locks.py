"""The locks agree: a deployment installs a subset of the tested packages."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def locked(path: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes by the name of the package."""
    entries = re.findall(
        r"^([a-z0-9._-]+)==(\S+)[^\\\n]*((?: *\\\n +--hash=\S+)+)", (ROOT / path).read_text(), re.MULTILINE
    )
    return {name: (version, frozenset(re.findall(r"sha256:\w+", hashes))) for name, version, hashes in entries}


def test_a_deployment_installs_what_is_tested_without_the_tools_of_development() -> None:
    runtime, everything = locked("deploy/locks/runtime.lock"), locked("requirements.lock")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {re.split(r"[\[<>=]", line)[0] for line in project["project"]["dependencies"]}
    assert needed <= runtime.keys()
    assert {name: everything.get(name) for name in runtime} == runtime
    assert not {"mypy", "pytest", "ruff", "playwright"} & runtime.keys()


def test_the_image_copies_every_package_and_locks_that_exist() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages == set(re.findall(r"^COPY (\w+) \1$", dockerfile, re.MULTILINE)) - {"static"}
    for lock in re.findall(r"/locks/(\S+\.lock)", dockerfile):
        assert (ROOT / "deploy" / "locks" / lock).is_file()
