"""Regular expressions of templates: RE2 syntax, in linear time.

Terraform and Coder match patterns with Go's ``regexp``, which implements RE2. RE2 itself needs no translation, and the
time of a search grows with the product of pattern and value, whose size is bounded here. It releases the interpreter
lock while it searches.
"""

from functools import lru_cache
from typing import Final, Protocol

import re2

MAX_PATTERN: Final = 10_000
MAX_VALUE: Final = 64 * 1024
# Instructions of the compiled pattern times bytes of the value: in the worst case about two seconds.
MAX_STEPS: Final = 200_000_000
# For a compiled pattern with its automata. "^[\p{L}\p{N} ]{1,100}$" needs 3 MiB.
MEMORY_BYTES: Final = 4 << 20
KEPT_PATTERNS: Final = 32


class CompiledPattern(Protocol):
    """A compiled pattern; ``programsize`` is the number of its instructions."""

    programsize: int

    def search(self, text: bytes) -> object | None: ...


class UndecidedError(Exception):
    """Raised if a value is not searched because the search could take too long. The message completes "the value
    cannot be checked: …"."""


def compile_pattern(source: str) -> CompiledPattern:
    """Compile a pattern. Raises ValueError if it is invalid, longer than 10,000 characters or too large."""
    if len(source) > MAX_PATTERN:
        raise ValueError(f"it is longer than {MAX_PATTERN} characters")
    return _compiled(source)


def matches(source: str, value: str) -> bool:
    """Return True if the pattern is found in the value, like Go's ``MatchString``.

    Raises ValueError for an invalid pattern. Raises UndecidedError for a value of more than 65,536 characters, and for
    a large pattern with a long value.
    """
    if len(value) > MAX_VALUE:
        raise UndecidedError(f"it is longer than {MAX_VALUE} characters")
    pattern = compile_pattern(source)
    text = _encoded(value)
    if pattern.programsize * len(text) > MAX_STEPS:
        raise UndecidedError("its pattern takes too long")
    return pattern.search(text) is not None


@lru_cache(maxsize=KEPT_PATTERNS)
def _compiled(source: str) -> CompiledPattern:
    options = re2.Options()
    options.max_mem = MEMORY_BYTES
    options.log_errors = False
    # Without groups RE2 only looks for the match's ends, which is faster.
    options.never_capture = True
    try:
        compiled: CompiledPattern = re2.compile(_encoded(source), options)
    except re2.error as error:
        reason = error.args[0]
        raise ValueError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from None
    finally:
        # The module keeps 128 patterns of its own; only the few that are kept here may hold memory.
        re2.purge()
    return compiled


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("it contains a lone surrogate, which is not a character") from None
