"""``python -m tests.today``: replay the session against a server of its own, and print the table.

Calls that are not as expected are listed below it, with the reason.
"""

import os
import sys
from pathlib import Path

import pytest


class Printer:
    """Prints the table after the test."""

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        from tests.today import replay  # when Django is set up

        if not replay.LAST_RUN:
            return
        for line in replay.table(replay.LAST_RUN):
            terminalreporter.write_line(line)
        for outcome in replay.LAST_RUN:
            for problem in outcome.problems:
                terminalreporter.write_line(f"{outcome.call.command}: {outcome.call}: {problem}")


if __name__ == "__main__":
    if "DATABASE_URL" not in os.environ:
        own = [sys.executable, "-m", "coderproj.postgres", "--test", "--", sys.executable, "-m", "tests.today"]
        os.execv(sys.executable, [*own, *sys.argv[1:]])
    test = Path(__file__).with_name("test_replay.py")
    sys.exit(pytest.main([str(test), "-q", "-n", "0", "--tb=short", *sys.argv[1:]], plugins=[Printer()]))
