"""Compare the files of two archives: hunks of lines, and the differing words within changed lines."""

import difflib
import enum
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from templates_app.source import NotShown, lines_of, read_all

CONTEXT_LINES = 3
# Two lines with a smaller ratio of common words count as different lines, not as one changed line.
SIMILAR = 0.4

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


def compare_files(before: bytes, after: bytes) -> tuple[FileChange, ...]:
    """Return the files that differ between two tar archives, by path. Raises Invalid for a broken archive."""
    old, new = read_all(before), read_all(after)
    return tuple(
        _compare(path, old.get(path), new.get(path)) for path in sorted(old | new) if old.get(path) != new.get(path)
    )


def _compare(path: str, before: bytes | None, after: bytes | None) -> FileChange:
    change = Change.ADDED if before is None else Change.REMOVED if after is None else Change.CHANGED
    old, new = before or b"", after or b""
    sizes = (len(old), len(new))
    try:
        # The time of a comparison grows with the square of the differences, so longer files get no hunks.
        old_lines, new_lines = lines_of(old), lines_of(new)
    except NotShown as reason:
        return FileChange(path, change, *sizes, note=str(reason))
    hunks = tuple(_hunks(old_lines, new_lines))
    note = "" if hunks or not (old or new) else "only line ends differ"
    return FileChange(path, change, *sizes, hunks, note)


def _hunks(before: list[str], after: list[str]) -> Iterator[Hunk]:
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for group in matcher.get_grouped_opcodes(CONTEXT_LINES):
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
            old_spans, new_spans = _marked(old, new)
            lines += (Line("-", old_start + offset + 1, None, spans) for offset, spans in enumerate(old_spans))
            lines += (Line("+", None, new_start + offset + 1, spans) for offset, spans in enumerate(new_spans))
        yield Hunk(header, tuple(lines))


def _range(start: int, end: int) -> str:
    length = end - start
    if length == 1:
        return str(start + 1)
    return f"{start + bool(length)},{length}"


def _marked(before: Sequence[str], after: Sequence[str]) -> tuple[list[tuple[Span, ...]], list[tuple[Span, ...]]]:
    """Return the lines of a replaced block, paired in order, with the differing words marked."""
    old: list[tuple[Span, ...]] = [(Span(text),) for text in before]
    new: list[tuple[Span, ...]] = [(Span(text),) for text in after]
    for index, (left, right) in enumerate(zip(before, after, strict=False)):
        old_words, new_words = _WORDS.findall(left), _WORDS.findall(right)
        matcher = difflib.SequenceMatcher(None, old_words, new_words, autojunk=False)
        if matcher.ratio() >= SIMILAR:
            old[index], new[index] = _words(matcher.get_opcodes(), old_words, new_words)
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
