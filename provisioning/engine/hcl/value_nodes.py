"""Relations of nodes in the syntax tree that ``value_shapes`` needs."""

from collections.abc import Iterator

from tree_sitter import Node

from .native import NativeDocument
from .syntax import Traversal

MAX_ANCESTORS = 100
IGNORED = frozenset({"comment"})
STEPS = frozenset({"get_attr", "index", "splat"})


def last_of_chain(head: Node) -> Node:
    last = head
    while (after := node_after(last)) is not None and after.type in STEPS:
        last = after
    return last


def node_after(node: Node) -> Node | None:
    found = node.next_sibling
    while found is not None and found.type in IGNORED:
        found = found.next_sibling
    return found


def is_same(one: Node, other: Node) -> bool:
    return (one.start_byte, one.end_byte, one.type) == (other.start_byte, other.end_byte, other.type)


def is_within_condition(document: NativeDocument, node: Node) -> bool:
    for around in ancestors(node):
        if around.type == "attribute":
            return document.text_of(around.children[0]) == "condition"
    return False


def ancestors(node: Node) -> Iterator[Node]:
    """Yield at most MAX_ANCESTORS ancestors of a node, innermost first."""
    around = node.parent
    for _ in range(MAX_ANCESTORS):
        if around is None:
            return
        yield around
        around = around.parent


def block_type(document: NativeDocument, attribute: Node) -> str:
    """Return the type of the block that holds an attribute."""
    body = attribute.parent
    block = body.parent if body is not None else None
    return document.text_of(block.children[0]) if block is not None and block.type == "block" else ""


def is_in_coder_block(document: NativeDocument, attribute: Node) -> bool:
    blocks = [around for around in ancestors(attribute) if around.type == "block"]
    labels = [child for child in blocks[-1].children if child.type == "string_lit"] if blocks else []
    return bool(labels) and document.text_of(labels[0]).startswith('"coder_')


def has_value_step(name: str, path: Traversal, is_behind: bool) -> bool:
    return is_behind and len(path) > 1 and path[1] == "value"
