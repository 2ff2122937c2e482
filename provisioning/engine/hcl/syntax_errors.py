"""Locate syntax errors, including those that the grammar accepts.

tree-sitter recovers from errors, so the nodes that it marks can be far from the cause (an unclosed string is detected
at the next quote). The parser's log names the first token that it could not use. Error messages use that location.
"""

import re
import time
from contextlib import suppress
from itertools import pairwise

from tree_sitter import Language, LogType, Node, Parser, Query, QueryCursor

# Larger files are not parsed again with logging: it calls a Python function for each token.
LOGGED_BYTES = 1 << 18
LOGGED_SECONDS = 5.0
# Of a file whose parsing takes quadratic time.
BEGINNING_BYTES = 1 << 14
PIECE_BYTES = 1 << 16

END = "end"  # the parser's token for the end of the file

_POSITION = re.compile(r"row:(\d+), col:(\d+)")
_CLOSED_ON_LINE = re.compile(rb'(?:[^"\\\r\n]|\\.)*"')
_PLACE = tuple[int, int]  # row and column in bytes, from 0


def first_syntax_error(language: Language, source: bytes, root: Node) -> tuple[str, int]:
    """Return the summary and line (from 1) of the first error in a tree that has errors."""
    row, column, kind = _unusable_token(language, source, root)
    text = _open_string(language, source, root, before=(row, column))
    if text is not None:
        return "Unterminated string: a quoted string must end on the line where it starts", text + 1
    unclosed = _unclosed(language, root) if kind == END else None
    if unclosed is not None:
        return unclosed
    if kind == END:
        return "Unexpected end of the file", _last_line(source)
    return _unexpected(source, row, column)


def first_error_in_text(language: Language, source: bytes, seconds: float) -> tuple[str, int] | None:
    """Return the summary and line (from 1) of the first error of a file that could not be parsed in time; None if it is
    not at the beginning of the file, or not found within ``seconds``."""
    row, column, kind = _logged_failure(language, source[:BEGINNING_BYTES], seconds)
    return _unexpected(source, row, column) if kind not in ("", END) else None


def _unusable_token(language: Language, source: bytes, root: Node) -> tuple[int, int, str]:
    """Return row, column and kind of the first token that the parser could not use."""
    if len(source) > LOGGED_BYTES:
        node = _first_marked(language, root)
        return node.start_point.row, node.start_point.column, ""
    return _logged_failure(language, source, LOGGED_SECONDS)


def _logged_failure(language: Language, source: bytes, seconds: float) -> tuple[int, int, str]:
    """Return row, column and kind of the first token that the parser could not use, from the parser's log. The kind is
    empty if there is none within ``seconds``."""
    deadline = time.monotonic() + seconds
    position = (0, 0)
    failure: tuple[int, int, str] = (0, 0, "")
    resumed = False

    def record(_kind: LogType, message: str) -> None:
        nonlocal position, failure, resumed
        if resumed:
            return
        if message.startswith("process "):
            match = _POSITION.search(message)
            position = (int(match[1]), int(match[2])) if match else position
        elif message.startswith("detect_error "):
            failure = (*position, message.partition("lookahead:")[2])
        elif message.startswith("resume "):
            resumed = True

    parser = Parser(language)
    parser.logger = record
    with suppress(ValueError):  # it was stopped: what follows the first error is not needed
        parser.parse(
            lambda offset, _point: source[offset : offset + PIECE_BYTES],
            progress_callback=lambda _offset, _has_error: resumed or time.monotonic() > deadline,
        )
    return failure


def _first_marked(language: Language, root: Node) -> Node:
    marked = QueryCursor(Query(language, "[(ERROR) (MISSING)] @bad")).captures(root).get("bad", [])
    return min((node for node in marked if node != root), key=lambda node: node.start_byte, default=root)


def _open_string(language: Language, source: bytes, root: Node, before: _PLACE) -> int | None:
    """Return the row of the first quoted string before ``before`` that is not closed on its line, or None."""
    quotes = QueryCursor(Query(language, "(quoted_template_start) @quote")).captures(root).get("quote", [])
    for quote in sorted(quotes, key=lambda node: node.start_byte):
        if (quote.start_point.row, quote.start_point.column) >= before:
            break
        end = source.find(b"\n", quote.end_byte)
        rest = source[quote.end_byte : end if end >= 0 else len(source)]
        if b"${" not in rest and b"%{" not in rest and not _CLOSED_ON_LINE.match(rest):
            return quote.start_point.row
    return None


def _unclosed(language: Language, root: Node) -> tuple[str, int] | None:
    """Return the summary and line of the innermost construct that is still open at the end of the file, or None."""
    missing = QueryCursor(Query(language, "(MISSING) @missing")).captures(root).get("missing", [])
    for node in sorted(missing, key=lambda node: node.start_byte):
        opener = node.parent
        while opener is not None and opener.start_byte == node.start_byte:
            opener = opener.parent
        if opener is None:
            continue
        line = opener.start_point.row + 1
        if node.type == "heredoc_identifier":
            return "Unterminated heredoc: its closing marker is missing", line
        if node.type == "}":
            return 'Unclosed block or object: the "{" opened here has no matching "}"', line
        if node.type.isidentifier():
            return f"Missing {node.type.replace('_', ' ')}", line
        return f'Missing "{node.type}" for the expression that starts here', line
    return None


def _unexpected(source: bytes, row: int, column: int) -> tuple[str, int]:
    """Describe the text at a position, or after it if the rest of the line is empty."""
    lines = source.split(b"\n")
    before = b"\n".join([*lines[:row], lines[row][:column]]).rstrip()
    line_is_over = not lines[row][column:].strip() or before.count(b"\n") < row
    if line_is_over and before.endswith(b"=") and not before.endswith((b"==", b"!=", b"<=", b">=")):
        return "Missing expression after the equals sign", before.count(b"\n") + 1
    for number in range(row, len(lines)):
        rest = lines[number][column:] if number == row else lines[number]
        text = rest.decode(errors="replace").strip()
        if text and not text.startswith(("#", "//")):
            return f"Unexpected {_shown_token(text)}", number + 1
    return "Unexpected end of the file", _last_line(source)


def _shown_token(text: str) -> str:
    match = re.match(r"[\w-]+", text)
    found = match[0] if match else text[0]
    return "quotation mark" if found == '"' else f'"{found}"'


def _last_line(source: bytes) -> int:
    return source.rstrip().count(b"\n") + 1


def misplaced_line_breaks(body: Node) -> list[tuple[str, int]]:
    """Return summaries and lines (from 1) of the items of a body that break Terraform's rules about line breaks.

    The grammar treats line breaks like blanks. Terraform does not: each item needs a separate line, except the only
    argument of a single-line block.
    """
    found: list[tuple[str, int]] = []
    items = [child for child in body.children if child.type in ("attribute", "block")]
    around = body.parent.children if body.parent is not None and body.parent.type == "block" else []
    opening = next((child for child in around if child.type == "block_start"), None)
    closing = next((child for child in around if child.type == "block_end"), None)
    if items and opening is not None and closing is not None:
        same_line = items[0].start_point.row == opening.end_point.row
        closed_on_line = items[-1].end_point.row == closing.start_point.row
        if same_line and (len(items) > 1 or items[0].type == "block" or not closed_on_line):
            line = items[0].start_point.row + 1
            return [("A single-line block can hold only one argument and must end on the same line", line)]
        if closed_on_line and not same_line:
            found.append(("Missing line break before the closing brace", closing.start_point.row + 1))
    for previous, item in pairwise(items):
        if item.start_point.row == previous.end_point.row:
            what = "argument" if previous.type == "attribute" else "block"
            found.append((f"Missing line break after the {what}", item.start_point.row + 1))
    for item in items:
        found += _broken_item(item)
    return found


def _broken_item(item: Node) -> list[tuple[str, int]]:
    row = item.start_point.row
    if item.type == "attribute":
        equals = next(child for child in item.children if child.type == "=")
        expression = item.children[-1]
        if equals.start_point.row != row or expression.start_point.row != equals.start_point.row:
            return [("An argument's name, equals sign and value must start on the same line", row + 1)]
    else:
        start = next((child for child in item.children if child.type == "block_start"), None)
        if start is not None and start.start_point.row != row:
            return [("A block's opening brace must be on the same line as its name", row + 1)]
    return []
