"""Read the syntax of Terraform's own files: the CLI configuration (HCL 1) and the dependency lock file.

Both are blocks and assignments of literals. Keys can be quoted, which the syntax of templates does not allow.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

Literal: TypeAlias = "str | bool | list[Literal] | Body"

MAX_DEPTH = 16
_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n,]+|\#[^\n]*|//[^\n]*|/\*.*?\*/)"""
    r"""|(?P<text>"(?:[^"\\\n]|\\.)*")"""
    r"""|(?P<word>[A-Za-z0-9_][A-Za-z0-9_.:/*-]*)|(?P<mark>[={}\[\]])""",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


class ConfigSyntaxError(ValueError):
    """Raised for text that is not in this syntax. The message starts with the line: ``line 3: …``."""


@dataclass(frozen=True, slots=True)
class Item:
    """An assignment, or a block with its labels. ``source`` is its text."""

    name: str
    labels: tuple[str, ...]
    value: Literal
    source: str

    @property
    def body(self) -> "Body":
        """The content of a block or an object; empty for other values."""
        return self.value if isinstance(self.value, Body) else Body(())

    @property
    def text(self) -> str:
        return self.value if isinstance(self.value, str) else ""

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of a list; empty for other values."""
        return tuple(one for one in self.value if isinstance(one, str)) if isinstance(self.value, list) else ()


@dataclass(frozen=True, slots=True)
class Body:
    """The content of a file, block or object, in source order."""

    items: tuple[Item, ...]

    def of(self, name: str) -> Iterator[Item]:
        """Yield the items with this name."""
        return (item for item in self.items if item.name == name)

    def first(self, name: str) -> Item:
        """Return the first item with this name, or an empty one."""
        return next(self.of(name), Item(name, (), "", ""))


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def parse(source: str) -> Body:
    """Parse the text of a file. Raises ConfigSyntaxError."""
    return _Parser(source).file()


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = list(_tokens(source))
        self._next = 0

    def file(self) -> Body:
        body = self._body(0)
        if self._peek() is not None:
            raise self._error("unexpected }")
        return body

    def _body(self, depth: int) -> Body:
        if depth > MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} nested blocks")
        items = []
        while (token := self._peek()) is not None and token.text != "}":
            items.append(self._item(depth))
        return Body(tuple(items))

    def _item(self, depth: int) -> Item:
        start = self._tokens[self._next].start
        name, *labels = self._names()
        token = self._take("= or {")
        if token.text == "=":
            if labels:
                raise self._error(f"{name} has a label and a value")
            value = self._value(depth)
        elif token.text == "{":
            value = self._block(depth)
        else:
            raise self._error(f"expected = or {{ after {name}")
        return Item(name, tuple(labels), value, self._source[start : self._tokens[self._next - 1].end])

    def _names(self) -> list[str]:
        names = []
        while (token := self._peek()) is not None and token.kind in ("word", "text"):
            names.append(_content(token))
            self._next += 1
        if not names:
            raise self._error("expected a name")
        return names

    def _value(self, depth: int) -> Literal:
        token = self._take("a value")
        if token.kind == "text":
            return _content(token)
        if token.kind == "word":
            return {"true": True, "false": False}.get(token.text, token.text)
        if token.text == "{":
            return self._block(depth)
        if token.text == "[" and depth <= MAX_DEPTH:
            values = []
            while (following := self._peek()) is not None and following.text != "]":
                values.append(self._value(depth + 1))
            self._take("]")
            return values
        raise self._error(f"unexpected {token.text}")

    def _block(self, depth: int) -> Body:
        body = self._body(depth + 1)
        self._take("}")
        return body

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self, expected: str) -> _Token:
        token = self._peek()
        if token is None:
            raise self._error(f"expected {expected}")
        self._next += 1
        return token

    def _error(self, message: str) -> ConfigSyntaxError:
        place = self._tokens[self._next - 1].start if 0 < self._next <= len(self._tokens) else 0
        return ConfigSyntaxError(f"line {self._source.count(chr(10), 0, place) + 1}: {message}")


def _tokens(source: str) -> Iterator[_Token]:
    place = 0
    while place < len(source):
        match = _TOKEN.match(source, place)
        if match is None:
            line = source.count("\n", 0, place) + 1
            raise ConfigSyntaxError(f"line {line}: unexpected {source[place]!r}")
        place = match.end()
        if match.lastgroup != "space":
            yield _Token(str(match.lastgroup), match[0], match.start(), place)


def _content(token: _Token) -> str:
    """Return a word, or the content of a quoted text."""
    if token.kind != "text":
        return token.text
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), token.text[1:-1])


def quoted(text: str) -> str:
    """Return ``text`` as a literal of this syntax and of templates."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "$${").replace("%{", "%%{")
    return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r") + '"'
