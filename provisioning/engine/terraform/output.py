"""Convert Terraform's output to log lines, and its first error to a short text."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from provisioning.engine.base import LogLevel, ParameterValue

MASK = "(sensitive)"
MAX_REASON_LENGTH = 500  # characters

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_POSITION = re.compile(r" at (\S+?\.(?:tf|tofu)(?:\.json)?):(\d+),")
# The first line of a Go program's crash report; the rest helps only developers.
_CRASH = re.compile(r"fatal error: |panic: |runtime: |goroutine \d+ |SIG[A-Z]+: |unexpected fault address")
_PLAIN_START = re.compile(r"^(Error|Warning): ", re.MULTILINE)
# The location of a plain diagnostic and the source lines below it: ``  12:   name = "x"``.
_PLAIN_PLACE = re.compile(r"^ +on (.+) line (\d+)(?:, in .*)?:\n(?: *\d+:.*\n)*", re.MULTILINE)
_UMBRELLA = re.compile(r"Terraform encountered problems during initiali[sz]ation")


@dataclass(frozen=True, slots=True)
class Line:
    """One log line."""

    level: LogLevel
    output: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A Terraform error or warning. Without a location ``filename`` is empty and ``line`` is 0."""

    severity: str
    summary: str
    detail: str = ""
    filename: str = ""
    line: int = 0

    @property
    def place(self) -> str:
        """``main.tf:12``, or empty."""
        return f"{self.filename}:{self.line}" if self.filename else ""

    def __str__(self) -> str:
        """Return summary, location and the first paragraph of the detail on one line."""
        place = f" ({self.place})" if self.place else ""
        paragraph = " ".join(self.detail.split("\n\n", 1)[0].split())
        return f"{self.summary}{place}: {paragraph}" if paragraph else f"{self.summary}{place}"


class Mask:
    """Replaces secrets in texts."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Secrets are also found in quoted form and line by line. Blank secrets are ignored.

        Secrets of up to three characters are replaced only as separate words: replacing every occurrence of a letter
        would make the log unreadable and reveal the letter.
        """
        forms = set()
        for secret in secrets:
            for part in (secret, *secret.splitlines()):
                quoted = json.dumps(part)[1:-1]
                forms |= {part, part.strip(), quoted, json.dumps(part, ensure_ascii=False)[1:-1]}
        patterns = [
            re.escape(form) if len(form) > 3 else rf"(?<!\w){re.escape(form)}(?!\w)"
            for form in sorted(forms, key=lambda form: (-len(form), form))
            if form.strip()
        ]
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    @classmethod
    def of_values(cls, values: Iterable[ParameterValue]) -> "Mask":
        """Return a mask for the sensitive values."""
        return cls(value.value for value in values if value.sensitive)

    def __call__(self, text: str) -> str:
        """Return ``text`` without the secrets."""
        return self._pattern.sub(MASK, text) if self._pattern else text


class Reader:
    """Converts the output of one ``-json`` command, line by line, to log lines, and collects its errors.

    ``errors`` holds the error diagnostics in order, ``first_error_line`` the first line of standard error, which gives
    the reason of a crash.
    """

    def __init__(
        self,
        mask: Callable[[str], str],
        *,
        plain_level: LogLevel = LogLevel.INFO,
        hidden: frozenset[str] = frozenset(),
    ) -> None:
        """``plain_level`` is the level of standard output lines that are not JSON. ``hidden`` are the summaries of
        warnings to leave out."""
        self._mask = mask
        self._hidden = hidden
        self._plain_level = plain_level
        self._crashed = False
        self.errors: list[Diagnostic] = []
        self.first_error_line = ""

    def stdout(self, raw: bytes) -> Iterator[Line]:
        """Yield the log lines for one line of standard output."""
        text = raw.decode(errors="replace")
        record = _record(text)
        if record is None:
            yield from self._lines(self._plain_level, text)
            return
        level = _level(record.get("@level"))
        message = record.get("@message")
        diagnostic = _diagnostic(record.get("diagnostic"))
        if diagnostic is not None:
            if diagnostic.severity == "warning" and diagnostic.summary in self._hidden:
                return
            level = _level(diagnostic.severity)
        yield from self._lines(level, message if isinstance(message, str) else "")
        if diagnostic is None:
            return
        if diagnostic.severity == "error":
            self.errors.append(diagnostic)
        if diagnostic.place:
            yield from self._lines(level, f"  on {diagnostic.place}")
        yield from self._lines(level, diagnostic.detail)

    def stderr(self, raw: bytes) -> Iterator[Line]:
        """Yield the log lines for one line of standard error. Crash reports have level DEBUG after their first line."""
        text = raw.decode(errors="replace")
        level = LogLevel.DEBUG if self._crashed else LogLevel.ERROR
        self._crashed = self._crashed or bool(_CRASH.match(text))
        for line in self._lines(level, text):
            self.first_error_line = self.first_error_line or line.output
            yield line

    def reason(self) -> str:
        """Return the first error as a short text without secrets, or an empty text."""
        return shortened(self._mask(clean(str(self.errors[0])))) if self.errors else ""

    def _lines(self, level: LogLevel, text: str) -> Iterator[Line]:
        for part in self._mask(text).splitlines():
            output = clean(part).rstrip()
            if output.strip():
                yield Line(level, output)


def clean(text: str) -> str:
    """Return ``text`` without terminal escapes, control characters except tabs, and text direction marks."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def shortened(text: str, longest: int = MAX_REASON_LENGTH) -> str:
    """Return ``text`` truncated to ``longest`` characters."""
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


def plain_diagnostics(text: str) -> list[Diagnostic]:
    """Parse the errors and warnings of a command without ``-json``: blocks that start with ``Error: ``.

    Terraform wraps their text at 78 columns. A sentence that only announces other errors is left out.
    """
    found = []
    parts = _PLAIN_START.split(text)
    for severity, block in zip(parts[1::2], parts[2::2], strict=True):
        summary, _, detail = block.partition("\n")
        if _UMBRELLA.match(summary):
            continue
        filename, line = "", 0
        if place := _PLAIN_PLACE.search(detail):
            filename, line = place[1], int(place[2])
            detail = detail[: place.start()] + detail[place.end() :]
        paragraphs = [" ".join(paragraph.split()) for paragraph in detail.split("\n\n")]
        detail = "\n\n".join(filter(None, paragraphs))
        found.append(Diagnostic(severity.lower(), summary.strip(), detail, filename, line))
    return found


def plain_errors(text: str) -> list[Diagnostic]:
    """Return the errors among ``plain_diagnostics``."""
    return [diagnostic for diagnostic in plain_diagnostics(text) if diagnostic.severity == "error"]


def diagnostic_lines(diagnostics: Iterable[Diagnostic]) -> Iterator[Line]:
    """Yield the log lines of diagnostics, as ``Reader`` does for those of ``-json``."""
    for diagnostic in diagnostics:
        level = _level(diagnostic.severity)
        place = f"  on {diagnostic.place}" if diagnostic.place else ""
        title = f"{diagnostic.severity.capitalize()}: {diagnostic.summary}"
        for text in (title, place, *diagnostic.detail.split("\n\n")):
            if output := clean(text).rstrip():
                yield Line(level, output)


def _record(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and "@message" in record else None


def _level(name: object) -> LogLevel:
    lowered = name.lower() if isinstance(name, str) else ""
    if lowered == "warning":
        return LogLevel.WARN
    try:
        return LogLevel(lowered)
    except ValueError:
        return LogLevel.INFO


def _diagnostic(content: object) -> Diagnostic | None:
    """Convert a diagnostic of Terraform's JSON. A location outside the template is left out.

    Terraform reports a value that fails a variable's validation in the file of values, which users do not see. The
    location of the validation rule is then in the text.
    """
    if not isinstance(content, dict):
        return None
    detail = str(content.get("detail") or "")
    place = content.get("range")
    filename, line = "", 0
    if isinstance(place, dict):
        start = place.get("start")
        number = start.get("line") if isinstance(start, dict) else 0
        filename, line = str(place.get("filename") or ""), number if isinstance(number, int) else 0
    if not filename or PurePath(filename).is_absolute():
        named = _POSITION.search(detail)
        filename, line = (named[1], int(named[2])) if named else ("", 0)
    return Diagnostic(
        severity=str(content.get("severity") or ""),
        summary=str(content.get("summary") or ""),
        detail=detail,
        filename=filename,
        line=line,
    )
