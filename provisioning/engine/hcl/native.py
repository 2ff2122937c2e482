"""Files in Terraform's native syntax, parsed with tree-sitter."""

import re
import time
from collections.abc import Iterator
from functools import cached_property

import tree_sitter_hcl
from tree_sitter import Language, Node, Parser, Point, Query, QueryCursor, Tree

from . import literals, syntax_errors
from .problems import Location
from .syntax import INDEX, Block, Body, Document, Expression, Traversal

LANGUAGE = Language(tree_sitter_hcl.language())
REFERENCES = Query(LANGUAGE, "(variable_expr) @name")

BLOCK_DEPTH = 100
MAX_PROBLEMS = 100
# Reading a reference gets slower with each step.
TRAVERSAL_STEPS = 32
# Larger files are parsed in pieces, with a deadline: hostile input can make error recovery slow.
PIECE_BYTES = 1 << 16
PARSE_SECONDS = 5.0
# Finding the siblings of deeply nested nodes is slow, and only stubs need the references.
REFERENCES_SECONDS = 2.0

_TEMPLATE_START = re.compile(r"(?<!\$)\$\{|(?<!%)%\{")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# The grammar does not know ``1.5E-3``. Replacing it by as many digits keeps all offsets.
_EXPONENT = re.compile(rb"(?<![\w.])(\d+(?:\.\d+)?)([eE][+-]?\d+)")


class NativeExpression(Expression):
    """An expression of a ``.tf`` file."""

    __slots__ = ("document", "node")

    def __init__(self, document: "NativeDocument", node: Node) -> None:
        self.document = document
        self.node = node

    @property
    def location(self) -> Location:  # type: ignore[override]
        return Location(self.document.file, self.node.start_point.row + 1)

    @property
    def text(self) -> str:
        return self.document.text_of(self.node)

    def constant(self) -> literals.Constant:
        return literals.constant(self.node, self.document.source)

    def keyword(self) -> str:
        return self.text.strip().strip('"')

    def as_blocks(self, block_type: str) -> list[Block]:
        return []

    def elements(self) -> dict[str, Expression]:
        node: Node | None = literals.unwrap(self.node)
        found: dict[str, Expression] = {}
        for element in node.children if node is not None and node.type == "object" else ():
            sides = [child for child in element.children if child.type == "expression"]
            if element.type == "object_elem" and len(sides) == 2:
                key = self.document.text_of(sides[0]).strip('"')
                found[key] = NativeExpression(self.document, sides[1])
        return found


class NativeDocument(Document):
    """A ``.tf`` file. Errors are collected in ``problems``, not raised; without errors ``blocks`` is complete."""

    def __init__(self, source: bytes, file: str) -> None:
        self.file = file
        self.source = source.removeprefix(_BYTE_ORDER_MARK)
        self.blocks = []
        self.problems = []
        parsed = self.source
        tree = _parse(parsed)
        if tree is not None and tree.root_node.has_error:
            masked = _EXPONENT.sub(lambda match: match[1] + b"0" * len(match[2]), parsed)
            if masked != parsed:
                parsed, tree = masked, _parse(masked)
        self._tree = tree
        if tree is None:
            self.problems.append(self.problem("Reading the file takes too long", 1))
            return
        if tree.root_node.has_error:
            summary, line = syntax_errors.first_syntax_error(LANGUAGE, parsed, tree.root_node)
            self.problems.append(self.problem(summary, line))
        else:
            for child in tree.root_node.children:
                if child.type == "body":
                    self.blocks = self._body(child, depth=0).blocks

    def references(self) -> Iterator[Traversal]:
        deadline = time.monotonic() + REFERENCES_SECONDS
        for node in self.reference_nodes():
            if time.monotonic() > deadline:
                return
            yield self.traversal(node)

    def reference_nodes(self) -> list[Node]:
        """Return the nodes at which references start."""
        return QueryCursor(REFERENCES).captures(self._tree.root_node).get("name", []) if self._tree else []

    def line_text(self, line: int) -> str:
        return self._lines[line - 1].decode(errors="replace") if 0 < line <= len(self._lines) else ""

    def text_of(self, node: Node) -> str:
        """Return the source text of a node."""
        return self.source[node.start_byte : node.end_byte].decode()

    @cached_property
    def _lines(self) -> list[bytes]:
        return self.source.split(b"\n")

    def _body(self, node: Node, depth: int) -> Body:
        body = Body()
        for child in node.children:
            if len(self.problems) > MAX_PROBLEMS:
                return body
            if child.type == "attribute":
                name = self.text_of(child.children[0])
                if name in body.attributes:
                    line = child.start_point.row + 1
                    self.problems.append(self.problem(f'The argument "{name}" is set twice', line))
                body.attributes[name] = NativeExpression(self, child.children[-1])
            elif child.type == "block":
                if depth >= BLOCK_DEPTH:
                    self.problems.append(self.problem("Blocks are nested too deeply", child.start_point.row + 1))
                    break
                body.blocks.append(self._block(child, depth + 1))
        self.problems += [self.problem(summary, line) for summary, line in syntax_errors.misplaced_line_breaks(node)]
        return body

    def _block(self, node: Node, depth: int) -> Block:
        labels: list[str] = []
        body = Body()
        block_type = ""
        for child in node.children:
            if child.type == "identifier":
                labels.append(self.text_of(child))
            elif child.type in ("string_lit", "quoted_template"):
                labels.append(self._label(child))
            elif child.type == "body":
                body = self._body(child, depth)
        block_type, *labels = labels
        return Block(block_type, tuple(labels), body, Location(self.file, node.start_point.row + 1))

    def _label(self, node: Node) -> str:
        text = self.text_of(node)[1:-1]
        if _TEMPLATE_START.search(text):
            line = node.start_point.row + 1
            self.problems.append(self.problem("A label cannot contain references", line))
        return literals.unescape(text)

    def traversal(self, node: Node) -> Traversal:
        """Return the reference that starts at a node."""
        return (self.text_of(node), *self.steps_after(node))

    def steps_after(self, node: Node) -> Traversal:
        """Return the attributes and indexes that follow a node."""
        steps: list[str] = []
        sibling = node.next_sibling
        while sibling is not None and len(steps) < TRAVERSAL_STEPS - 1:
            self._add_step(sibling, steps)
            sibling = sibling.next_sibling
        return tuple(steps)

    def native_documents(self) -> "Iterator[NativeDocument]":
        """Yield the document itself; a JSON document yields one document for each string with expressions."""
        yield self

    def attribute_of(self, block: Node, name: str) -> Node | None:
        """Return the expression of an attribute in a block's body, or None."""
        body = next((child for child in block.children if child.type == "body"), None)
        for child in body.children if body is not None else ():
            if child.type == "attribute" and self.text_of(child.children[0]) == name:
                return child.children[-1]
        return None

    def _add_step(self, node: Node, steps: list[str]) -> None:
        if node.type == "get_attr":
            steps.append(self.text_of(node).lstrip(". \t\r\n"))
        elif node.type == "index":
            steps.append(self._index(node))
        elif node.type == "splat":
            steps.append(INDEX)
            for splat in node.children:
                for child in splat.children:
                    self._add_step(child, steps)

    def _index(self, node: Node) -> str:
        key = next((child for child in node.children[0].children if child.type == "expression"), None)
        if key is None:
            return INDEX
        text = self.text_of(key).strip()
        if literals.unwrap(key).type == "string_lit":
            return f"[{text}]"
        return f"[{int(text)}]" if text.isascii() and text.isdigit() and text.strip("0") and len(text) < 4 else INDEX


def _parse(source: bytes) -> Tree | None:
    """Return the syntax tree, or None if parsing took longer than PARSE_SECONDS."""
    parser = Parser(LANGUAGE)
    if len(source) <= PIECE_BYTES:
        return parser.parse(source)
    deadline = time.monotonic() + PARSE_SECONDS

    def piece(offset: int, _point: Point) -> bytes:
        return source[offset : offset + PIECE_BYTES]

    def is_late(_offset: int, _has_error: bool) -> bool:
        return time.monotonic() > deadline

    try:
        return parser.parse(piece, progress_callback=is_late)
    except ValueError:
        return None
