"""docs/testing.md names the shared modules and the folders of tests as they are, and the README every page."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTING = (ROOT / "docs" / "testing.md").read_text()


def test_every_shared_module_and_folder_of_tests_is_named() -> None:
    modules = {path.name for path in (ROOT / "tests").glob("*.py")} - {"__init__.py"}
    unnamed = {name for name in modules if not name.startswith("test_") and f"`{name}`" not in TESTING}
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
