"""Values of constant expressions of the native syntax."""

import operator
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from tree_sitter import Node

from .syntax import NotConstantError

Constant = Any  # None, bool, int, float, str, list or dict of constants

MAX_DEPTH = 100
REPLACEMENT = "\ufffd"
# Larger exponents than those of a double would produce megabytes of digits.
MAX_EXPONENT = 308

_WRAPPERS = ("expression", "literal_value", "collection_value", "template_expr", "operation")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", re.DOTALL)
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_TEMPLATE_PARTS = ("template_interpolation", "template_directive", "template_for", "template_if")

_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}


def unwrap(node: Node) -> Node:
    """Return the node without the grammar's wrapper nodes and without parentheses."""
    while node.type in _WRAPPERS:
        inner = [child for child in node.children if child.type not in ("comment", "(", ")")]
        if len(inner) != 1:
            return node
        node = inner[0]
    return node


def constant(node: Node, source: bytes, depth: int = 0) -> Constant:
    """Return the value of an expression. Raises NotConstantError if only Terraform can evaluate it."""
    if depth > MAX_DEPTH:
        raise NotConstantError("the value is nested too deeply")
    node = unwrap(node)
    match node.type:
        case "null_lit":
            return None
        case "bool_lit":
            return source[node.start_byte : node.end_byte] == b"true"
        case "numeric_lit":
            return _plain_number(_number(_text(node, source)))
        case "string_lit" | "quoted_template":
            return quoted(node, source)
        case "heredoc_template":
            return _heredoc(node, source)
        case "tuple":
            return [constant(child, source, depth + 1) for child in node.children if child.type == "expression"]
        case "object":
            return _object(node, source, depth)
        case "unary_operation" | "binary_operation":
            return _operation(node, source, depth)
        case "function_call":
            raise NotConstantError("functions are not allowed here")
        case "variable_expr" | "expression":
            raise NotConstantError("references are not allowed here")
        case _:
            raise NotConstantError("the value is not a constant")


def quoted(node: Node, source: bytes) -> str:
    """Return the text of a quoted string. Raises NotConstantError if it contains interpolations."""
    _reject_template_parts(node)
    return unescape(_text(node, source)[1:-1])


def unescape(text: str) -> str:
    """Return the text between quotes with its escapes resolved."""
    return _unescape_templates(_ESCAPE.sub(_unescaped, text))


def _unescape_templates(text: str) -> str:
    return text.replace("$${", "${").replace("%%{", "%{")


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) == 1:
        return _ESCAPED.get(code, match[0])
    point = int(code[1:], 16)
    # Surrogates and numbers beyond Unicode are not characters, and PostgreSQL cannot store NUL in text.
    return chr(point) if 0 < point < 0x110000 and not 0xD800 <= point < 0xE000 else REPLACEMENT


def _heredoc(node: Node, source: bytes) -> str:
    _reject_template_parts(node)
    text = _text(node, source)
    first_line, _, rest = text.partition("\n")
    # The closing marker is on a separate line.
    content = rest[: rest.rfind("\n") + 1]
    if first_line.startswith("<<-"):
        content = _without_indent(content)
    return _unescape_templates(content)


def _without_indent(content: str) -> str:
    """Return the lines without their common indentation; blank lines do not count and stay unchanged."""
    lines = _LINE.findall(content)
    indents = [len(line) - len(line.lstrip()) for line in lines if line.strip()]
    shared = min(indents, default=0)
    return "".join(line[shared:] if line.strip() else line for line in lines)


def _object(node: Node, source: bytes, depth: int) -> dict[str, Constant]:
    value: dict[str, Constant] = {}
    for element in node.children:
        sides = [child for child in element.children if child.type == "expression"]
        if element.type == "object_elem" and len(sides) == 2:
            value[_key(sides[0], source, depth)] = constant(sides[1], source, depth + 1)
        elif element.type == "object_elem":
            raise NotConstantError("the value is not a constant")
    return value


def _key(node: Node, source: bytes, depth: int) -> str:
    inner = unwrap(node)
    if inner.type == "variable_expr" and not _text(node, source).startswith("("):
        return _text(inner, source)
    if inner.type in ("bool_lit", "null_lit", "numeric_lit"):
        return _text(inner, source)
    return as_text(constant(node, source, depth + 1))


def as_text(value: Constant) -> str:
    """Convert a constant to a string as Terraform does. Raises NotConstantError for lists and objects."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return repr(value)
    raise NotConstantError("a string is required")


def _operation(node: Node, source: bytes, depth: int) -> Constant:
    parts = [child for child in node.children if child.type not in ("comment", "(", ")")]
    try:
        if node.type == "unary_operation":
            sign, operand = _text(parts[0], source), constant(parts[1], source, depth + 1)
            if sign == "!" and isinstance(operand, bool):
                return not operand
            if sign == "-":
                return _plain_number(_decimal(operand).copy_negate())
        elif len(parts) == 3 and _text(parts[1], source) in _BINARY:
            left, right = constant(parts[0], source, depth + 1), constant(parts[2], source, depth + 1)
            return _plain_number(_BINARY[_text(parts[1], source)](_decimal(left), _decimal(right)))
    except (ArithmeticError, ValueError) as error:
        if isinstance(error, NotConstantError):
            raise
        raise NotConstantError("the arithmetic has no result") from error
    raise NotConstantError("the value is not a constant")


def _decimal(value: Constant) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotConstantError("a number is required")
    return Decimal(repr(value))


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise NotConstantError(f"{text!r} is not a number") from error


def _plain_number(number: Decimal) -> int | float:
    if number and abs(number.adjusted()) > MAX_EXPONENT:
        raise NotConstantError("the number is too large or too small")
    return int(number) if number == number.to_integral_value() else float(number)


def _reject_template_parts(node: Node) -> None:
    if any(child.type in _TEMPLATE_PARTS for child in node.children):
        raise NotConstantError("references are not allowed here")


def _text(node: Node, source: bytes) -> str:
    return source[node.start_byte : node.end_byte].decode()
