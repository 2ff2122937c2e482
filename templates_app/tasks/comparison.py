"""Compare the files of two archives: hunks of lines, and the differing words within changed lines.

The time of a comparison can grow with the square of the differences, or faster if lines or words are repeated. All
comparisons of two archives share a budget of steps, so that the result depends on the archives alone.
"""

import difflib
import enum
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from coderproj.base.bounded import Task
from coderproj.base.errors import DomainError
from templates_app.source import NotShown, lines_of, read_all

CONTEXT_LINES = 3
# Two lines with a smaller ratio of common words count as different lines, not as one changed line.
SIMILAR = 0.4

# Steps of all comparisons of two archives: about a second. A file with 500 changed lines takes some 20,000.
MAX_STEPS = 10_000_000
# Lines and marked parts of lines that a page shows.
MAX_LINES_SHOWN = 10_000
MAX_SPANS = 20_000
TOO_DIFFERENT = "the versions differ too much to compare this file line by line"
TOO_MANY_LINES = f"the changes have more than {MAX_LINES_SHOWN} lines"

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


class Change(enum.StrEnum):
    """The change of a file, a parameter or a resource from the older to the newer version."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a line; ``marked`` if its words differ from the other side's line."""

    text: str
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a hunk. ``sign`` is a space, ``+`` or ``-``; the number is None on the side without the line."""

    sign: str
    before: int | None
    after: int | None
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Hunk:
    """Changed lines with their context; ``header`` as in a unified diff."""

    header: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that differs. ``note`` is the reason why there are no hunks; sizes are in bytes, 0 for a missing file."""

    path: str
    change: Change
    size_before: int
    size_after: int
    hunks: tuple[Hunk, ...] = ()
    note: str = ""

    @property
    def added(self) -> int:
        """The number of lines that only the newer version has."""
        return sum(line.sign == "+" for hunk in self.hunks for line in hunk.lines)

    @property
    def removed(self) -> int:
        """The number of lines that only the older version has."""
        return sum(line.sign == "-" for hunk in self.hunks for line in hunk.lines)


@dataclass(frozen=True, slots=True)
class FileComparison:
    """The files that differ. ``not_shown`` is the reason why they are not compared, ``problem`` what is wrong with an
    archive."""

    files: tuple[FileChange, ...] = ()
    not_shown: str = ""
    problem: str = ""

    @property
    def weight(self) -> int:
        """The memory that it takes, counted in lines."""
        return 1 + sum(10 + sum(len(hunk.lines) for hunk in file.hunks) for file in self.files)


@dataclass(slots=True)
class _Budget:
    """What is left for all files together."""

    steps: int = MAX_STEPS
    lines: int = MAX_LINES_SHOWN
    spans: int = MAX_SPANS


class _TooDifferent(Exception):
    """Raised when a comparison has used up the steps."""


class _Matcher(difflib.SequenceMatcher[str]):
    """The standard library's comparison, which takes its steps from a budget. Raises _TooDifferent."""

    def __init__(self, before: Sequence[str], after: Sequence[str], budget: _Budget) -> None:
        self._budget = budget
        found = Counter(after)
        # Looking for the longest match in a range takes a step for each item, and one for each equal item on the
        # other side.
        self._steps = [0, *accumulate(1 + found[item] for item in before)]
        super().__init__(None, before, after, autojunk=False)

    def find_longest_match(
        self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None
    ) -> difflib.Match:
        end = len(self._steps) - 1 if ahi is None else ahi
        self._budget.steps -= self._steps[end] - self._steps[alo]
        if self._budget.steps < 0:
            raise _TooDifferent
        return super().find_longest_match(alo, ahi, blo, bhi)


def compare_archives(archives: tuple[bytes, bytes]) -> FileComparison:
    """Compare two tar archives, the older one first."""
    try:
        return FileComparison(compare_files(*archives))
    except NotShown as reason:
        return FileComparison(not_shown=str(reason))
    except DomainError as error:
        return FileComparison(problem=" ".join(filter(None, (error.message, error.detail))))


COMPARE = Task("templates_app.tasks.comparison:COMPARE", compare_archives, tuple[bytes, bytes], FileComparison, 4)


def compare_files(before: bytes, after: bytes) -> tuple[FileChange, ...]:
    """Return the files that differ between two tar archives, by path. Raises Invalid for a broken archive, and
    NotShown."""
    old, new = read_all(before), read_all(after)
    budget = _Budget()
    return tuple(
        _compare(path, old.get(path), new.get(path), budget)
        for path in sorted(old | new)
        if old.get(path) != new.get(path)
    )


def _compare(path: str, before: bytes | None, after: bytes | None, budget: _Budget) -> FileChange:
    change = Change.ADDED if before is None else Change.REMOVED if after is None else Change.CHANGED
    old, new = before or b"", after or b""
    sizes = (len(old), len(new))
    try:
        hunks = tuple(_hunks(lines_of(old), lines_of(new), budget))
    except NotShown as reason:
        return FileChange(path, change, *sizes, note=str(reason))
    except _TooDifferent:
        return FileChange(path, change, *sizes, note=TOO_DIFFERENT)
    note = "" if hunks or not (old or new) else "only line ends differ"
    return FileChange(path, change, *sizes, hunks, note)


def _hunks(before: list[str], after: list[str], budget: _Budget) -> Iterator[Hunk]:
    matcher = _Matcher(before, after, budget)
    for group in matcher.get_grouped_opcodes(CONTEXT_LINES):
        budget.lines -= sum(
            old_end - old_start + new_end - new_start for _, old_start, old_end, new_start, new_end in group
        )
        if budget.lines < 0:
            raise NotShown(TOO_MANY_LINES)
        (_, first_old, _, first_new, _), (_, _, last_old, _, last_new) = group[0], group[-1]
        header = f"@@ -{_range(first_old, last_old)} +{_range(first_new, last_new)} @@"
        lines: list[Line] = []
        for operation, old_start, old_end, new_start, new_end in group:
            old, new = before[old_start:old_end], after[new_start:new_end]
            if operation == "equal":
                lines += (
                    Line(" ", old_start + offset + 1, new_start + offset + 1, (Span(text),))
                    for offset, text in enumerate(old)
                )
                continue
            old_spans, new_spans = _marked(old, new, budget)
            lines += (Line("-", old_start + offset + 1, None, spans) for offset, spans in enumerate(old_spans))
            lines += (Line("+", None, new_start + offset + 1, spans) for offset, spans in enumerate(new_spans))
        yield Hunk(header, tuple(lines))


def _range(start: int, end: int) -> str:
    length = end - start
    if length == 1:
        return str(start + 1)
    return f"{start + bool(length)},{length}"


def _marked(
    before: Sequence[str], after: Sequence[str], budget: _Budget
) -> tuple[list[tuple[Span, ...]], list[tuple[Span, ...]]]:
    """Return the lines of a replaced block, paired in order, with the differing words marked while the budget lasts."""
    old: list[tuple[Span, ...]] = [(Span(text),) for text in before]
    new: list[tuple[Span, ...]] = [(Span(text),) for text in after]
    for index, (left, right) in enumerate(zip(before, after, strict=False)):
        old_words, new_words = _WORDS.findall(left), _WORDS.findall(right)
        try:
            matcher = _Matcher(old_words, new_words, budget)
            if budget.spans <= 0 or matcher.real_quick_ratio() < SIMILAR or matcher.ratio() < SIMILAR:
                continue
        except _TooDifferent:
            return old, new
        old[index], new[index] = _words(matcher.get_opcodes(), old_words, new_words)
        budget.spans -= len(old[index]) + len(new[index])
    return old, new


def _words(
    operations: Sequence[tuple[str, int, int, int, int]],
    old_words: Sequence[str],
    new_words: Sequence[str],
) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    old: list[Span] = []
    new: list[Span] = []
    for operation, old_start, old_end, new_start, new_end in operations:
        marked = operation != "equal"
        for spans, words in ((old, old_words[old_start:old_end]), (new, new_words[new_start:new_end])):
            if words:
                spans.append(Span("".join(words), marked))
    return tuple(old), tuple(new)
