"""Searching with a template's regular expression without being at its mercy.

Python's engine may take exponential time, and nothing can interrupt it: a pattern with several repetitions runs in a
process of its own, which is ended in time. This file is also that process's program.
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
# Where the module path starts, for the process.
ROOT: Final = Path(__file__).resolve().parents[3]
# With at most one repetition a search takes time that grows with the square of the value's length.
_REPETITION: Final = re.compile(r"[*+?{]")
_QUICK_LENGTH: Final = 1_000
# Processes at the same time: more would only slow each other down.
_places = threading.BoundedSemaphore(4)


class UndecidedError(Exception):
    """It did not come out in time whether a value matches; the text says so."""


def matches(source: str, value: str, *, seconds: float = SECONDS) -> bool:
    """Whether the pattern is found in the value. Raises ValueError for a pattern that is wrong, UndecidedError when
    that takes longer than ``seconds``, or when the value is longer than 10,000 characters."""
    if len(value) > MAX_VALUE:
        raise UndecidedError(f"it is longer than {MAX_VALUE} characters")
    if len(_REPETITION.findall(source)) <= 1 and len(value) <= _QUICK_LENGTH:
        return compile_pattern(source).search(value) is not None
    return _in_a_process(source, value, seconds)


def _in_a_process(source: str, value: str, seconds: float) -> bool:
    if not _places.acquire(timeout=max(seconds, 0)):
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
        _places.release()
    if finished.returncode:
        raise UndecidedError("its pattern takes too long")
    answer = json.loads(finished.stdout)
    if "error" in answer:
        raise ValueError(answer["error"])
    return bool(answer["matches"])


def _main() -> None:
    """Read the question from standard input, write the answer to standard output."""
    os.nice(10)  # a web process may keep to one processor, and this one starts on it: requests go first
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    given = json.load(sys.stdin)
    try:
        answer: dict[str, object] = {"matches": compile_pattern(given["source"]).search(given["value"]) is not None}
    except ValueError as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    _main()
