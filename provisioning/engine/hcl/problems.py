"""What is wrong with a template, where, and how users read it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from provisioning.engine.base import EngineError

SHOWN_PROBLEMS = 20
SHOWN_LINE_LENGTH = 200

_CONFIGURATION = r"\.(?:tf|tofu)(?:\.json)?"
# As errors of ours end, ``(modules/a/main.tf:3)``, and as Terraform writes it, ``on modules/a/main.tf line 3``.
_NAMED = re.compile(
    rf"\((?P<ours>[^():\n]+{_CONFIGURATION}):(?P<our_line>\d+)\)"
    rf"|^\s*on (?P<file>[^:\n]+{_CONFIGURATION}) line (?P<line>\d+)\b",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A line (from 1) of a file, whose path is relative to the root of the template."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    @classmethod
    def named_in(cls, error: str) -> Self | None:
        """The first place that the error of a job names, if it names one."""
        found = _NAMED.search(error)
        if found is None:
            return None
        return cls(found["ours"] or found["file"], int(found["our_line"] or found["line"]))


@dataclass(frozen=True, slots=True)
class Problem:
    """One error. ``source_line`` is the line of the template at which it was found."""

    summary: str
    location: Location
    source_line: str = ""

    def __str__(self) -> str:
        text = f"ERROR: {self.summary} ({self.location})"
        line = self.source_line.strip()
        if not line:
            return text
        shown = "".join(char if char.isprintable() else "\ufffd" for char in line[:SHOWN_LINE_LENGTH])
        return f"{text}\n> {shown}{'…' if len(line) > SHOWN_LINE_LENGTH else ''}"


class TemplateSyntaxError(EngineError):
    """The template cannot be read. The text names the first 20 problems, each with its file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        shown = [str(problem) for problem in self.problems[:SHOWN_PROBLEMS]]
        hidden = len(self.problems) - len(shown)
        if hidden > 0:
            shown.append(f"… and {hidden} more")
        super().__init__("\n".join(shown))
