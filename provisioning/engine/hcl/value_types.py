"""Infer the types of arguments from the expressions that set them.

A stub needs them for nested blocks of data sources: Terraform crashes if such a block has arguments of any type and
the data source can be read only in the apply. Terraform converts what it is given to the type, so ``string`` stands for
numbers and booleans as well, and a list for a set.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from tree_sitter import Node

from provisioning.engine.provider.values import TypeExpression
from provisioning.engine.provider_usage import DIFFERENT

from .literals import unwrap
from .native import NativeDocument, NativeExpression
from .syntax import Block, Expression, NotConstantError

MAX_DEPTH: Final = 16

STRINGS: Final = ["list", "string"]
STRING_MAP: Final = ["map", "string"]

_LIST_FUNCTIONS: Final = frozenset(
    {
        "chunklist", "coalescelist", "compact", "concat", "distinct", "flatten", "formatlist", "keys", "matchkeys",
        "range", "regexall", "reverse", "setintersection", "setproduct", "setsubtract", "setunion", "slice", "sort",
        "split", "tolist", "toset", "values", "cidrsubnets", "csvdecode", "fileset",
    }
)  # fmt: skip
_MAP_FUNCTIONS: Final = frozenset(["merge", "tomap", "transpose", "zipmap"])
# Functions that can return any type.
_ANY_FUNCTIONS: Final = frozenset(
    {
        "coalesce", "element", "jsondecode", "lookup", "nonsensitive", "one", "sensitive", "try", "yamldecode",
        "ephemeralasnull", "issensitive",
    }
)  # fmt: skip
_COLLECTION: Final = re.compile(r"\s*(?:list|set|map)\s*\(\s*(?:string|number|bool|any)\s*\)\s*")
# Names that look like a list's, but are maps or single values.
_MAP_NAMES: Final = frozenset(
    {
        "tags", "labels", "annotations", "headers", "match_labels", "selectors", "variables", "vars", "metadata",
        "parameters",
    }
)  # fmt: skip
_SINGLE_NAMES: Final = frozenset(["alias", "dns", "https", "os", "status"])


def guessed_type(name: str) -> TypeExpression:
    """Return the likely type of an argument whose expression says nothing: names in the plural are lists."""
    if name in _MAP_NAMES:
        return STRING_MAP
    return STRINGS if name.endswith("s") and not name.endswith("ss") and name not in _SINGLE_NAMES else "string"


class TypeReader:
    """Infers types in one module, whose ``blocks`` have its locals and variables."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._locals: dict[str, Expression] = {}
        self._variables: dict[str, Block] = {}
        for block in blocks:
            if block.type == "locals":
                self._locals |= block.body.attributes
            elif block.type == "variable" and block.labels:
                self._variables[block.labels[0]] = block

    def type_of(self, expression: Expression, depth: int = MAX_DEPTH) -> TypeExpression | None:
        """Return the type of an expression's value, or None if it cannot be inferred."""
        try:
            return _type_of_constant(expression.constant())
        except NotConstantError:
            pass
        if not isinstance(expression, NativeExpression):
            return None
        return self._type_of_node(expression.document, expression.node, depth)

    def _type_of_node(self, document: NativeDocument, node: Node, depth: int) -> TypeExpression | None:
        if depth == 0:
            return None
        node = unwrap(node)
        match node.type:
            case (
                "string_lit" | "numeric_lit" | "bool_lit" | "heredoc_template" | "binary_operation" | "unary_operation"
            ):
                return "string"
            case "quoted_template":
                return self._type_of_template(document, node, depth)
            case "tuple":
                items = [child for child in node.children if child.type == "expression"]
                return _collection("list", [self._type_of_node(document, item, depth - 1) for item in items])
            case "object":
                elements = [child for child in node.children if child.type == "object_elem"]
                return _collection("map", [self._type_of_node(document, e.children[-1], depth - 1) for e in elements])
            case "conditional":
                branches = [child for child in node.children if child.type == "expression"][1:]
                for branch in branches:
                    if found := self._type_of_node(document, branch, depth - 1):
                        return found
            case "for_expr":
                result = [child for child in node.children[0].children if child.type == "expression"][-1]
                kind = "list" if node.children[0].type == "for_tuple_expr" else "map"
                return _collection(kind, [self._type_of_node(document, result, depth - 1)])
            case "function_call":
                return _type_of_function(document.text_of(node.children[0]))
            case "expression":
                return self._type_of_chain(document, node, depth)
        return None

    def _type_of_template(self, document: NativeDocument, node: Node, depth: int) -> TypeExpression | None:
        """Return the type of a quoted template; a single interpolation without text has the type of its value."""
        parts = [child for child in node.children if not child.type.startswith("quoted_template_")]
        if len(parts) == 1 and parts[0].type == "template_interpolation":
            inner = next((child for child in parts[0].children if child.type == "expression"), None)
            return self._type_of_node(document, inner, depth - 1) if inner is not None else None
        return "string"

    def _type_of_chain(self, document: NativeDocument, node: Node, depth: int) -> TypeExpression | None:
        parts = [child for child in node.children if child.type != "comment"]
        if any(part.type == "splat" for part in parts):
            return STRINGS
        if not parts or parts[0].type != "variable_expr":
            return None
        path = document.traversal(parts[0])
        if len(path) == 2 and path[0] == "local" and path[1] in self._locals:
            return self.type_of(self._locals[path[1]], depth - 1)
        if len(path) == 2 and path[0] == "var" and path[1] in self._variables:
            return self._type_of_variable(self._variables[path[1]], depth)
        return None

    def _type_of_variable(self, variable: Block, depth: int) -> TypeExpression | None:
        declared = variable.body.attributes.get("type")
        if declared is None:
            default = variable.body.attributes.get("default")
            return self.type_of(default, depth - 1) if default is not None else None
        text = declared.text.strip().strip('"')
        if text in ("string", "number", "bool"):
            return "string"
        if _COLLECTION.fullmatch(text):
            return STRING_MAP if text.startswith("map") else STRINGS
        return None


def _type_of_constant(value: Any) -> TypeExpression | None:
    if value is None:
        return None
    if isinstance(value, list):
        return _collection("list", [_type_of_constant(item) for item in value])
    if isinstance(value, dict):
        return _collection("map", [_type_of_constant(item) for item in value.values()])
    return "string"


def _type_of_function(name: str) -> TypeExpression | None:
    if name in _LIST_FUNCTIONS:
        return STRINGS
    if name in _MAP_FUNCTIONS:
        return STRING_MAP
    return None if name in _ANY_FUNCTIONS or "::" in name else "string"


def _collection(kind: str, items: list[TypeExpression | None]) -> TypeExpression | None:
    """Return the type of a list or map with these elements, DIFFERENT if no list or map can hold all of them."""
    known = [item for item in items if item is not None]
    if any(item != known[0] for item in known) or DIFFERENT in known:
        return DIFFERENT
    return [kind, known[0] if known else "string"]
