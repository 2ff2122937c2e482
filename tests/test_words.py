"""Guard: words that docs/style.md replaces do not come back into tracked source, docs, templates and tests."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SUFFIXES = {"", ".css", ".html", ".js", ".md", ".py", ".service", ".sh", ".toml", ".txt", ".yaml", ".yml"}
# The list itself, generated files, vendored files and licenses.
EXCLUDED = re.compile(
    r"docs/(style\.md|openapi\.yaml|roles\.md)|tests/(test_words\.py|data/.*)|CHANGELOG\.md|requirements\.lock|deploy/locks/.*"
    r"|.*_pb2\.pyi?|.*\.min\.js|(.*/)?LICENSE[^/]*"
)

# Phrases are matched in any case, also across line breaks; "|" separates alternatives. The value is the plain word.
WORDS = {
    "anew": "again, new, re-read, re-created",
    "whoever|whomever|whosoever": "name the role or component",
    "somebody|everybody": "name the role: the user, the caller, every listener",
    "himself": "name the component",
    "nobody knows": "unknown",
    "what is ours|what is theirs": "name the role or component",
    "for want of": "because … is missing",
    "could not be had|cannot be had|can be had|to be had": "unavailable, available",
    "answered for by": "replaced by",
    "good-bye|goodbye": "deregistered",
    "turned away": "rejected",
    "rings of": "reference cycles",
    "dress": "style, form",
    "door": "login, entry, endpoint",
    "shall": "must",
    "sees to|see to it|seen to|saw to": "ensures, enforces",
    "is told": "receives, is notified",
    "wants to hear": "expects",
    "the one on which": "name the thing",
    "long way": "regular path",
    "short way": "fast path",
    "take it up again|takes up again|taken up again": "unarchive, resume",
    "did not come": "not reached, missing",
    "will not do": "out of range, invalid",
    "sign in a command line": "sign in from the command line",
    "nothing like that was done": "no matching events",
    "last heard of": "last seen",
    "as a week ago": "same as last week",
    "you know nobody": "no such user",
    "tags of the daemon": "daemon tags",
    "news": "notifications",
    "nursery": "fork server",
    "desk|desks": "worker slot",
    "crew": "worker group",
    "beaten": "HeartbeatReply",
    "told_of": "audited_object",
    "untold": "HIDDEN_FIELDS",
    "see_to_": "ensure_",
}


@dataclass(frozen=True)
class Finding:
    """An odd word in a line of a file."""

    path: str
    line: int
    word: str
    plain: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.word!r}, write: {self.plain}"


def _pattern(phrase: str) -> str:
    """The expression for a phrase: words may be separated by line breaks and the signs of a comment, or underscores."""
    expression = r"[\s#*_]+".join(map(re.escape, phrase.split(" ")))
    return rf"(?<![a-z]){expression}" + ("" if phrase.endswith("_") else r"(?![a-z])")


# The longest word of each phrase of an entry, the entry's expression, and the plain word.
PATTERNS = [
    (
        {max(phrase.split(" "), key=len) for phrase in phrases.split("|")},
        re.compile("|".join(map(_pattern, phrases.split("|"))), re.IGNORECASE),
        plain,
    )
    for phrases, plain in WORDS.items()
]


def findings(path: str, text: str) -> Iterator[Finding]:
    """Yield the odd words of a text, in the order of WORDS."""
    lower = text.lower()
    for longest, pattern, plain in PATTERNS:
        if not any(word in lower for word in longest):
            continue  # much faster than the expression
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield Finding(path, line, re.sub(r"[\s#*]+", " ", match[0]), plain)


def tracked_files() -> list[str]:
    """Return the tracked text files that the guard covers."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        if (ROOT / ".git").exists():
            pytest.fail(listed.stderr)
        pytest.skip("not a git checkout")
    return [
        path
        for path in listed.stdout.split("\0")
        if path and Path(path).suffix in SUFFIXES and not EXCLUDED.fullmatch(path) and (ROOT / path).is_file()
    ]


def test_odd_words_do_not_come_back():
    found = [
        finding
        for path in tracked_files()
        for finding in findings(path, (ROOT / path).read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == [], "docs/style.md has the plain words:\n" + "\n".join(map(str, found))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("first\nIt is read anew.\n", ["x.py:2: 'anew', write: again, new, re-read, re-created"]),
        ("# retried for want\n# of a slot\n", ["x.py:1: 'for want of', write: because … is missing"]),
        ("def _short_way(self):", ["x.py:1: 'short_way', write: fast path"]),
        ("UNTOLD = told_of(row)", ["audited_object", "HIDDEN_FIELDS"]),
        ("a renewed address on the indoor desktop of a doorman", []),
    ],
)
def test_findings_name_file_line_and_plain_word(text, expected):
    found = [str(finding) for finding in findings("x.py", text)]
    assert len(found) == len(expected)
    assert all(part in line for part, line in zip(expected, found, strict=True))
