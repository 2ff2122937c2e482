"""The installed Chromium that browser tests drive."""

import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "e2e"
# The headless shell renders the same pages for a third of the processor time: it has no desktop windows.
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = (
    "The browser tests (tests/e2e) need Chromium, and none is on PATH. "
    "Install it (Debian: `apt install chromium-headless-shell`, or `chromium` in older releases), "
    "or leave these tests out: make test ARGS='-m \"not e2e\"'"
)


def program() -> str:
    """Return the path of the browser to drive. Raises FileNotFoundError if there is none."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise FileNotFoundError(MISSING)
    return found


def is_needed(config: pytest.Config) -> bool:
    """True if the command line selects all browser tests or some of them by their path."""
    if config.getoption("markexpr") or config.getoption("keyword"):
        return False  # the expression decides test by test; the fixture fails for those that it selects
    paths = [Path(config.invocation_params.dir, argument.partition("::")[0]).resolve() for argument in config.args]
    left_out = [Path(config.invocation_params.dir, path).resolve() for path in config.getoption("ignore") or ()]
    is_selected = any(FOLDER.is_relative_to(path) or path.is_relative_to(FOLDER) for path in paths)
    return is_selected and not any(FOLDER.is_relative_to(path) for path in left_out)
