"""Texts and numbers of the native syntax."""

import re
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
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


def unwrap(node: Node) -> Node:
    """Return the node without the grammar's wrapper nodes and without parentheses."""
    while node.type in _WRAPPERS:
        inner = [child for child in node.children if child.type not in ("comment", "(", ")")]
        if len(inner) != 1:
            return node
        node = inner[0]
    return node


def unescape(text: str) -> str:
    """Return the text between quotes with its escapes resolved."""
    return unescape_templates(_ESCAPE.sub(_unescaped, text))


def unescape_templates(text: str) -> str:
    """Return the text of a template with its escaped markers resolved."""
    return text.replace("$${", "${").replace("%%{", "%{")


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) == 1:
        return _ESCAPED.get(code, match[0])
    point = int(code[1:], 16)
    # Surrogates and numbers beyond Unicode are not characters, and PostgreSQL cannot store NUL in text.
    return chr(point) if 0 < point < 0x110000 and not 0xD800 <= point < 0xE000 else REPLACEMENT


def as_text(value: Constant) -> str:
    """Convert a constant to a string as Terraform does. Raises NotConstantError for lists and objects."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return repr(value)
    raise NotConstantError("a string is required")


def number(text: str) -> Decimal:
    """Parse a number. Raises NotConstantError."""
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise NotConstantError(f"{text!r} is not a number") from error


def plain_number(value: Decimal) -> int | float:
    """Convert a number to JSON. Raises NotConstantError if it has too many digits."""
    if value and abs(value.adjusted()) > MAX_EXPONENT:
        raise NotConstantError("the number is too large or too small")
    return int(value) if value == value.to_integral_value() else float(value)
