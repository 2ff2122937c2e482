"""Errors in a template, their locations, and their text for users."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from provisioning.engine.base import EngineError

MAX_SHOWN_PROBLEMS = 20
MAX_SHOWN_LINE_LENGTH = 200

_CONFIGURATION = r"\.(?:tf|tofu)(?:\.json)?"
# Our errors end in ``(modules/a/main.tf:3)``; Terraform writes ``on modules/a/main.tf line 3``.
_NAMED = re.compile(
    rf"\((?P<own_file>[^():\n]+{_CONFIGURATION}):(?P<own_line>\d+)\)"
    rf"|^\s*on (?P<file>[^:\n]+{_CONFIGURATION}) line (?P<line>\d+)\b",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A line of a file. Lines count from 1; the path is relative to the template's root."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    @classmethod
    def named_in(cls, error: str) -> Self | None:
        """Return the first location that a job's error names, or None."""
        found = _NAMED.search(error)
        if found is None:
            return None
        return cls(found["own_file"] or found["file"], int(found["own_line"] or found["line"]))


@dataclass(frozen=True, slots=True)
class Problem:
    """One error. ``source_line`` is the text of the line with the error."""

    summary: str
    location: Location
    source_line: str = ""

    def __str__(self) -> str:
        text = f"ERROR: {self.summary} ({self.location})"
        line = self.source_line.strip()
        if not line:
            return text
        shown = "".join(char if char.isprintable() else "\ufffd" for char in line[:MAX_SHOWN_LINE_LENGTH])
        return f"{text}\n> {shown}{'…' if len(line) > MAX_SHOWN_LINE_LENGTH else ''}"


class TemplateSyntaxError(EngineError):
    """Raised if a template cannot be read. The message lists the first 20 problems, each with its file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        shown = [str(problem) for problem in self.problems[:MAX_SHOWN_PROBLEMS]]
        hidden = len(self.problems) - len(shown)
        if hidden > 0:
            shown.append(f"… and {hidden} more")
        super().__init__("\n".join(shown))
