"""Documents name only what exists: the test modules, the pages, the kinds of contributions, the files of the layout."""

import re
from pathlib import Path

from coderproj.base.contributions import KINDS

ROOT = Path(__file__).resolve().parents[2]
TESTING = (ROOT / "docs" / "testing.md").read_text()


def test_every_shared_module_and_folder_of_tests_is_named() -> None:
    modules = {path.name for path in (ROOT / "tests").glob("*.py")} - {"__init__.py"}
    modules = {name for name in modules if not name.startswith("test_")}
    unnamed = {name for name in modules if f"`{name}`" not in TESTING and f"`tests/{name}`" not in TESTING}
    assert unnamed == set()
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")} | {"data"}
    assert {folder for folder in folders if f"`tests/{folder}`" not in TESTING} == set()


def test_named_files_exist() -> None:
    named = re.findall(r"`((?:[a-z0-9_]+/)*[a-z0-9_]+\.(?:py|json))`", TESTING)
    assert len(named) > 15
    assert [name for name in named if not (ROOT / name).exists() and not (ROOT / "tests" / name).exists()] == []


def test_the_readme_links_every_page() -> None:
    links = set(re.findall(r"\]\((docs/[a-z-]+\.md)\)", (ROOT / "README.md").read_text()))
    assert links == {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


def test_every_kind_of_contribution_is_described() -> None:
    table = ARCHITECTURE.split("## What an app contributes")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == sorted(KINDS)


def test_the_layout_names_every_package() -> None:
    layout = ARCHITECTURE.split("## Layout")[1].split("\n## ")[0]
    for app in ("coderproj", "provisioning", "templates_app"):
        part = layout.split(f"\n{app}/")[1].split("\n```")[0]
        packages = {path.parent.name for path in (ROOT / app).glob("*/__init__.py")} - {"migrations", "templatetags"}
        packages -= {"management"} if app != "coderproj" else set()
        assert {name for name in packages if f" {name}/" not in part} == set()


def test_files_of_the_architecture_exist() -> None:
    named = set(re.findall(r"`((?:[a-z0-9_]+/)+[a-z0-9_]*(?:\.\w+)?)`", ARCHITECTURE))
    folders = [ROOT / name for name in ("coderproj", "provisioning", "templates_app", "tests")]
    paths = [path.as_posix() for folder in folders for path in folder.rglob("*")]
    missing = {name for name in named if not any(path.endswith("/" + name.rstrip("/")) for path in paths)}
    assert missing == set()
