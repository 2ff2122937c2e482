"""Files in Terraform's native syntax, parsed with tree-sitter."""

import re
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cached_property

import tree_sitter_hcl
from tree_sitter import Language, Node, Parser, Point, Tree

from . import constants, literals, syntax_errors
from .problems import Location
from .syntax import INDEX, Block, Body, Document, Expression, Traversal

LANGUAGE = Language(tree_sitter_hcl.language())
PROVIDER_FUNCTION = "provider::"
VARIABLE, CALL = "variable_expr", "function_call"

BLOCK_DEPTH = 100
MAX_PROBLEMS = 100
# Finding the next sibling of a deeply nested node is slow.
TRAVERSAL_STEPS = 32
STEPS = frozenset({"get_attr", "index", "splat"})
# Larger files are parsed with a deadline: the parser takes quadratic time for some hostile files, above all for those
# with errors. In pieces, because the parser has a deadline only if it asks for the source.
DEADLINE_BYTES = 1 << 13
PIECE_BYTES = 1 << 16
PARSE_SECONDS = 5.0
RECOVERY_SECONDS = 1.0

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
        return constants.constant(self.node, self.document.source)

    def keyword(self) -> str:
        return self.text.strip().strip('"')

    def references(self) -> Iterator[Traversal]:
        for path in self.document.references_within(self.node):
            yield path[:1] if path[0].startswith(PROVIDER_FUNCTION) else path

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
        self.attributes = {}
        self.problems = []
        parsed = self.source
        tree = _parse(parsed)
        if tree is not None and tree.root_node.has_error:
            masked = _EXPONENT.sub(lambda match: match[1] + b"0" * len(match[2]), parsed)
            if masked != parsed:
                parsed, tree = masked, _parse(masked)
        self._tree = tree
        if tree is None:
            found = syntax_errors.first_error_in_text(LANGUAGE, parsed, RECOVERY_SECONDS)
            summary, line = found or ("Reading the file takes too long", 1)
            self.problems.append(self.problem(summary, line))
            return
        if tree.root_node.has_error:
            summary, line = syntax_errors.first_syntax_error(LANGUAGE, parsed, tree.root_node)
            self.problems.append(self.problem(summary, line))
        else:
            for child in tree.root_node.children:
                if child.type == "body":
                    root = self._body(child, depth=0)
                    self.blocks, self.attributes = root.blocks, root.attributes

    def references(self) -> Iterator[Traversal]:
        return self._references_of(self._heads)

    def references_within(self, node: Node) -> Iterator[Traversal]:
        """Yield the references in an expression."""
        first = bisect_left(self._heads, node.start_byte, key=_start)
        return self._references_of(self._heads[first : bisect_left(self._heads, node.end_byte, key=_start)])

    def _references_of(self, heads: Iterable[tuple[Node, list[Node]]]) -> Iterator[Traversal]:
        for node, following in heads:
            if node.type == VARIABLE:
                yield (self.text_of(node), *self._steps_of(following))
            elif self._is_of_provider(node):
                yield (self.text_of(node.children[0]), *self._steps_of(following))

    def reference_nodes(self) -> list[Node]:
        """Return the nodes at which references start."""
        return [node for node, _ in self._heads if node.type == VARIABLE]

    def provider_calls(self) -> list[Node]:
        """Return the calls of functions of providers."""
        return [node for node, _ in self._heads if node.type == CALL and self._is_of_provider(node)]

    def _is_of_provider(self, call: Node) -> bool:
        return self.text_of(call.children[0]).startswith(PROVIDER_FUNCTION)

    @cached_property
    def _heads(self) -> list[tuple[Node, list[Node]]]:
        if self._tree is None:
            return []
        calls = PROVIDER_FUNCTION.encode() in self.source
        return _with_steps(self._tree, frozenset({VARIABLE, CALL}) if calls else frozenset({VARIABLE}))

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
        return self._steps_of(_following(node))

    def _steps_of(self, nodes: Iterable[Node]) -> Traversal:
        steps: list[str] = []
        for node in nodes:
            if len(steps) >= TRAVERSAL_STEPS - 1:
                break
            self._add_step(node, steps)
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


def _start(head: tuple[Node, list[Node]]) -> int:
    return head[0].start_byte


def _following(node: Node) -> Iterator[Node]:
    sibling = node.next_sibling
    while sibling is not None:
        yield sibling
        sibling = sibling.next_sibling


def _with_steps(tree: Tree, types: frozenset[str]) -> list[tuple[Node, list[Node]]]:
    """Return the nodes of these types in the order of the source, each with the steps among its following siblings, at
    most TRAVERSAL_STEPS.

    One walk over the tree, in linear time. A query takes quadratic time for many siblings, and ``next_sibling`` takes
    time in proportion to the depth.
    """
    found: list[tuple[Node, list[Node]]] = []
    # For each level of the walk, the lists that still take steps.
    levels: list[list[list[Node]]] = [[]]
    cursor = tree.walk()
    while True:
        node = cursor.node
        assert node is not None
        if node.type in types:
            following: list[Node] = []
            found.append((node, following))
            levels[-1].append(following)
        elif levels[-1] and node.type in STEPS:
            for following in levels[-1]:
                following.append(node)
            levels[-1] = [following for following in levels[-1] if len(following) < TRAVERSAL_STEPS]
        if cursor.goto_first_child():
            levels.append([])
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return found
            levels.pop()


def _parse(source: bytes) -> Tree | None:
    """Return the syntax tree, or None if parsing took longer than PARSE_SECONDS, with errors RECOVERY_SECONDS."""
    parser = Parser(LANGUAGE)
    if len(source) <= DEADLINE_BYTES:
        return parser.parse(source)
    start = time.monotonic()

    def piece(offset: int, _point: Point) -> bytes:
        return source[offset : offset + PIECE_BYTES]

    def is_late(_offset: int, has_error: bool) -> bool:
        return time.monotonic() - start > (RECOVERY_SECONDS if has_error else PARSE_SECONDS)

    try:
        return parser.parse(piece, progress_callback=is_late)
    except ValueError:
        return None
