"""Search with a template's regular expression under a time limit.

Python's regular expressions can take exponential time, and a search cannot be interrupted. A pattern with several
repetitions therefore runs in a separate process, which is killed at the time limit. This file is also the program of
that process.
"""

import json
import os
import re
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from provisioning.engine.provider.patterns import compile_pattern

SECONDS: Final = 2
MAX_VALUE: Final = 10_000
# The root of the module path, for the process.
ROOT: Final = Path(__file__).resolve().parents[3]
# With at most one repetition the time of a search is quadratic in the value's length.
_REPETITION: Final = re.compile(r"[*+?{]")
_QUICK_LENGTH: Final = 1_000
# Limits the number of processes at the same time; more would slow each other down.
_slots = threading.BoundedSemaphore(4)


class UndecidedError(Exception):
    """Raised if it was not decided in time whether a value matches. The message gives the reason."""


def matches(source: str, value: str, *, seconds: float = SECONDS) -> bool:
    """True if the pattern is found in the value. Raises ValueError for an invalid pattern, and UndecidedError if the
    search takes longer than ``seconds`` or the value is longer than 10,000 characters."""
    if len(value) > MAX_VALUE:
        raise UndecidedError(f"it is longer than {MAX_VALUE} characters")
    if len(_REPETITION.findall(source)) <= 1 and len(value) <= _QUICK_LENGTH:
        return compile_pattern(source).search(value) is not None
    return _matches_in_process(source, value, seconds)


def _matches_in_process(source: str, value: str, seconds: float) -> bool:
    if not _slots.acquire(timeout=max(seconds, 0)):
        raise UndecidedError("too many values are being checked")
    try:
        finished = subprocess.run(
            [sys.executable, "-S", "-E", "-m", __name__],
            cwd=ROOT,
            input=json.dumps({"source": source, "value": value}),
            capture_output=True,
            text=True,
            timeout=max(seconds, 0),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UndecidedError("its pattern takes too long") from None
    finally:
        _slots.release()
    if finished.returncode:
        raise UndecidedError("its pattern takes too long")
    answer = json.loads(finished.stdout)
    if "error" in answer:
        raise ValueError(answer["error"])
    return bool(answer["matches"])


def _main() -> None:
    """Read pattern and value from standard input, write the result to standard output."""
    os.nice(10)  # this process may share its CPU with a web process, whose requests have priority
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    given = json.load(sys.stdin)
    try:
        answer: dict[str, object] = {"matches": compile_pattern(given["source"]).search(given["value"]) is not None}
    except ValueError as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    _main()
