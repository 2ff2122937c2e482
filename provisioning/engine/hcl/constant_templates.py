"""Split quoted strings and heredocs into texts and tags, as Terraform does: with strip markers and indentation."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tree_sitter import Node

from . import literals

INTERPOLATION: Final = "template_interpolation"

_TAGS: Final = (
    INTERPOLATION,
    "template_if_intro",
    "template_else_intro",
    "template_if_end",
    "template_for_start",
    "template_for_end",
)
_DIRECTIVES: Final = ("template_directive", "template_if", "template_for")
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(slots=True)
class Part:
    """A piece of a template: text, or a tag with its node."""

    text: str = ""
    tag: Node | None = None


def template_parts(node: Node, source: bytes) -> list[Part]:
    """Return the parts of a quoted string or heredoc in order. The texts of a heredoc are separate lines."""
    if node.type != "heredoc_template":
        return _parts(node, source, node.start_byte + 1, node.end_byte - 1, is_quoted=True)
    raw = source[node.start_byte : node.end_byte]
    first_line = raw.partition(b"\n")[0]
    start = node.start_byte + len(first_line) + 1
    # The closing marker is on a separate line.
    end = max(start, node.start_byte + raw.rfind(b"\n") + 1)
    parts = _parts(node, source, start, end, is_quoted=False)
    if first_line.startswith(b"<<-"):
        _remove_indent(parts)
    return parts


def _parts(node: Node, source: bytes, start: int, end: int, *, is_quoted: bool) -> list[Part]:
    parts: list[Part] = []
    position = start
    strips_next = False
    for tag in (*_tags(node), None):
        until = end if tag is None else tag.start_byte
        raw = source[position:until].decode()
        texts = [literals.unescape(raw)] if is_quoted else _LINE.findall(literals.unescape_templates(raw))
        if strips_next and texts:
            texts[0] = texts[0].lstrip()
        marks = b"" if tag is None else source[tag.start_byte : tag.end_byte]
        if marks[2:3] == b"~" and texts:
            texts[-1] = texts[-1].rstrip()
        parts += [Part(text) for text in texts if text]
        if tag is not None:
            parts.append(Part(tag=tag))
            position = tag.end_byte
            strips_next = marks[-2:-1] == b"~"
    return parts


def _tags(node: Node) -> Iterator[Node]:
    for child in node.children:
        if child.type in _TAGS:
            yield child
        elif child.type in _DIRECTIVES:
            yield from _tags(child)


def _remove_indent(parts: list[Part]) -> None:
    """Remove the common indentation of a ``<<-`` text. Blank lines do not count and stay unchanged."""
    indented: list[Part] = []
    indents: list[int] = []
    is_line_start = True
    for part in parts:
        if is_line_start and (part.tag is not None or part.text.strip() or not part.text.endswith("\n")):
            indents.append(len(part.text) - len(part.text.lstrip()))
            indented.append(part)
        is_line_start = part.tag is None and part.text.endswith("\n")
    for part in indented:
        part.text = part.text[min(indents) :]
