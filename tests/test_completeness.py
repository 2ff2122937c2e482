"""Guards against omissions: every command and route has a test, every setting is documented."""

import re
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import get_commands

from coderproj.api.permissions import Public, SignedIn
from tests.conftest import SLOW
from tests.routes import PARAMETER, api_routes

ROOT = Path(__file__).parent.parent
APP_LABELS = ("coderproj", "accounts", "identity", "provisioning", "templates_app", "workspaces", "agents")

# ---------------------------------------------------------------------- commands
NAMES = {apps.get_app_config(label).name for label in APP_LABELS}
COMMANDS = sorted(name for name, app in get_commands().items() if app in NAMES)
# Commands whose test module has another name.
TESTED_IN = {
    "provisionerd": "tests/provisioning/daemon/test_faults.py",
    "provisionerkeys": "tests/provisioning/views/test_keys.py",
    "up": "tests/coderproj/test_up.py",
    "worker": "tests/templates_app/workspaces/test_worker.py",
}


def test_commands_are_found():
    assert {"organizations", "provisionerd", "roles", "templates", "tokens", "up", "users"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_test_module(name):
    modules = list(ROOT.glob(f"tests/**/test_{name}_command.py"))
    if name in TESTED_IN:
        modules.append(ROOT / TESTED_IN[name])
    assert len(modules) == 1, f"tests/…/test_{name}_command.py is missing"
    assert re.search(rf"\b{name}\b", modules[0].read_text())
    assert "def test_" in modules[0].read_text()


# ---------------------------------------------------------------------- routes
# Modules that loop over all routes do not count as a test of a route.
LOOPING = {"test_completeness.py", "test_generated_requests.py", "test_guards.py"}
# Without the routes for daemons: tests that run daemons call those.
PATTERNS = [route.pattern for route in api_routes() if route.pattern and {SignedIn, Public} & route.permissions]
# A parameter in a test: a placeholder of an f-string, or a name.
FILLED = r"(?:\{[^{}]*\}|[^/\"'\s{}]+)"


@pytest.fixture(scope="module")
def tests_of_the_api() -> str:
    modules = [path for path in ROOT.glob("tests/**/*.py") if path.name not in LOOPING and "bench" not in path.parts]
    return "\n".join(path.read_text() for path in modules)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_route_is_called_by_a_test(pattern, tests_of_the_api):
    path = FILLED.join(re.escape(part) for part in PARAMETER.sub("\0", pattern).split("\0"))
    called = re.search(rf"[\"'/}}]{path}(?=[\"'?])", tests_of_the_api)
    assert called, f"no test calls {pattern}; write its path in full, as f-strings do"


# ---------------------------------------------------------------------- settings
READ = re.compile(r"""\benv\.[a-z]+\(\s*"([A-Z][A-Z0-9_]*)\"""")
LINE = re.compile(r"^\| `([A-Z][A-Z0-9_]*)` \| .+ \| .+ \|$", re.MULTILINE)
# Read without ``env``, before the settings are loaded.
READ_ELSEWHERE = {"DATABASE_URL", "PGBIN"}


def test_every_setting_is_documented_once():
    sources = [*(ROOT / "coderproj").glob("*.py"), ROOT / "provisioning" / "daemon" / "settings.py"]
    read = {name for path in sources for name in READ.findall(path.read_text())}
    documented = LINE.findall((ROOT / "docs" / "operating.md").read_text())
    assert len(read) > 25
    assert sorted(documented) == sorted(read | READ_ELSEWHERE)


# ---------------------------------------------------------------------- tests
@pytest.mark.parametrize("name", SLOW)
def test_every_slow_test_exists(name):
    assert any(f"def {name}(" in path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
