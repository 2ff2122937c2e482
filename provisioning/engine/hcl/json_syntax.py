"""Files in JSON syntax (``.tf.json``).

JSON does not distinguish arguments from blocks. The known top-level keys are read as blocks, everything below them as
arguments that can be converted to blocks.
"""

import json
import json.decoder
import json.scanner
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from .literals import REPLACEMENT
from .native import NativeDocument
from .problems import Location
from .syntax import Block, Body, Document, Expression, NotConstantError, Traversal

COMMENT_KEY = "//"
# Number of labels of the top-level blocks.
LABELS = {
    "terraform": 0,
    "locals": 0,
    "variable": 1,
    "output": 1,
    "provider": 1,
    "module": 1,
    "check": 1,
    "resource": 2,
    "data": 2,
    "ephemeral": 2,
}
# Nested blocks that are found by type, without a schema.
NESTED = {
    "terraform": ("required_providers", "backend", "cloud"),
    "resource": ("provisioner", "lifecycle", "connection", "dynamic"),
    "data": ("lifecycle", "dynamic"),
    "check": ("data",),
}
# Terraform takes the strings in these blocks as they are: it evaluates them before there are any values.
LITERAL_BLOCKS = ("variable",)
NESTED_LABELS = {"backend": 1, "provisioner": 1, "dynamic": 1, "data": 2}


class JsonObject(dict[str, Any]):
    """An object with the offset of its opening brace."""

    offset = 0


class _Decoder(json.JSONDecoder):
    """Records the offset of every object."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=_merged)
        self.parse_object = self._object
        self.scan_once = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]

    def _object(self, text_and_end: tuple[str, int], *arguments: Any) -> tuple[JsonObject, int]:
        value, end = json.decoder.JSONObject(text_and_end, *arguments)  # type: ignore[attr-defined]
        value.offset = text_and_end[1] - 1
        return value, end


def _merged(pairs: list[tuple[str, Any]]) -> JsonObject:
    """Return an object in which a repeated key holds all its values, as Terraform reads repeated blocks."""
    found = JsonObject()
    repeated: dict[str, list[Any]] = {}
    for key, value in pairs:
        if key not in found:
            found[key] = value
            continue
        if key not in repeated:
            first = found[key]
            found[key] = repeated[key] = [*first] if isinstance(first, list) else [first]
        repeated[key] += value if isinstance(value, list) else [value]
    return found


class JsonExpression(Expression):
    """A value of a ``.tf.json`` file."""

    __slots__ = ("document", "is_literal", "location", "value")

    def __init__(self, document: "JsonDocument", value: Any, location: Location, *, is_literal: bool = False) -> None:
        """``is_literal`` means that strings are not templates."""
        self.document = document
        self.is_literal = is_literal
        self.value = value
        self.location = location

    @property
    def text(self) -> str:
        """The text of a string, without ``${ }`` if it is a single expression; compact JSON for other values."""
        if not isinstance(self.value, str):
            return json.dumps(self.value, separators=(",", ":"), ensure_ascii=False)
        inner = self.value[2:-1]
        whole = self.value.startswith("${") and self.value.endswith("}") and "${" not in inner
        return inner.strip() if whole else self.value

    def constant(self) -> Any:
        return _constant(self.value, self.is_literal)

    def keyword(self) -> str:
        return self.text

    def references(self) -> Iterator[Traversal]:
        for document in _native_documents(self.value, self.document.file):
            yield from document.references()

    def as_blocks(self, block_type: str) -> list[Block]:
        return self.document.blocks_within(block_type, self.value, NESTED_LABELS.get(block_type, 0))

    def elements(self) -> dict[str, Expression]:
        if not isinstance(self.value, dict):
            return {}
        return {key: JsonExpression(self.document, value, self.location) for key, value in self.value.items()}


class JsonDocument(Document):
    """A ``.tf.json`` file. Errors are collected in ``problems``, not raised."""

    def __init__(self, source: bytes, file: str) -> None:
        self.file = file
        self.blocks = []
        self.attributes = {}
        self.problems = []
        self._text = source.decode().removeprefix("\ufeff")
        self._line_starts = [0] + [index + 1 for index, char in enumerate(self._text) if char == "\n"]
        self._root: Any = None
        try:
            self._root = _Decoder().decode(self._text)
        except json.JSONDecodeError as error:
            self.problems.append(self.problem(f"Invalid JSON: {error.msg}", error.lineno))
        except RecursionError:
            self.problems.append(self.problem("The JSON is nested too deeply", 1))
        except ValueError as error:  # an integer with more digits than Python converts
            self.problems.append(self.problem(f"Invalid JSON: {error}", 1))
        self._read_blocks()

    def _read_blocks(self) -> None:
        if self.problems:
            return
        roots = self._root if isinstance(self._root, list) else [self._root]
        for root in roots:
            if not isinstance(root, JsonObject):
                self.problems.append(self.problem("The file must hold a JSON object", 1))
                return
            for block_type, value in root.items():
                if block_type != COMMENT_KEY:
                    self.attributes[block_type] = JsonExpression(self, value, Location(self.file, 1), is_literal=True)
                self.blocks += self.blocks_within(block_type, value, LABELS.get(block_type, 0))

    def blocks_within(self, block_type: str, value: Any, labels: int) -> list[Block]:
        """Return the blocks in a value: one object or a list of objects, below ``labels`` levels of keys."""
        found: list[Block] = []
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, JsonObject):
                continue
            if labels == 0:
                location = Location(self.file, self._line(item.offset))
                found.append(Block(block_type, (), self._body(block_type, item, location), location))
                continue
            for label, inner in item.items():
                if label == COMMENT_KEY:
                    continue
                for block in self.blocks_within(block_type, inner, labels - 1):
                    block.labels = (label, *block.labels)
                    found.append(block)
        return found

    def references(self) -> Iterator[Traversal]:
        for document in self.native_documents():
            yield from document.references()

    def native_documents(self) -> Iterator[NativeDocument]:
        """Yield each string that holds expressions, parsed as a document in native syntax."""
        return _native_documents(self._root, self.file)

    def line_text(self, line: int) -> str:
        if not 0 < line <= len(self._line_starts):
            return ""
        start = self._line_starts[line - 1]
        return self._text[start:].partition("\n")[0]

    def _line(self, offset: int) -> int:
        return bisect_right(self._line_starts, offset)

    def _body(self, block_type: str, value: JsonObject, location: Location) -> Body:
        body = Body()
        for key, item in value.items():
            if key == COMMENT_KEY:
                continue
            if key in NESTED.get(block_type, ()):
                body.blocks += self.blocks_within(key, item, NESTED_LABELS.get(key, 0))
            else:
                is_literal = block_type in LITERAL_BLOCKS
                body.attributes[key] = JsonExpression(self, item, location, is_literal=is_literal)
        return body


def _constant(value: Any, is_literal: bool = False) -> Any:
    if isinstance(value, str) and is_literal:
        return value.replace("\0", REPLACEMENT)
    if isinstance(value, str):
        plain = value.replace("$${", "").replace("%%{", "")
        if "${" in plain or "%{" in plain:
            raise NotConstantError("references are not allowed here")
        return value.replace("$${", "${").replace("%%{", "%{").replace("\0", REPLACEMENT)
    if isinstance(value, list):
        return [_constant(item, is_literal) for item in value]
    if isinstance(value, dict):
        return {key: _constant(item, is_literal) for key, item in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _strings(root: Any) -> Iterator[str]:
    pending = [root]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value


def _native_documents(root: Any, file: str) -> Iterator[NativeDocument]:
    for text in _strings(root):
        if "${" not in text and "%{" not in text:
            continue
        marker = "TEMPLATE"
        while marker in text:
            marker += "_"
        source = f"x = <<{marker}\n{text}\n{marker}\n".encode(errors="replace")
        yield NativeDocument(source, file)
