"""Read validation conditions of the form ``contains([…], …)``."""

from tree_sitter import Node

from . import constants, literals
from .native import NativeDocument, NativeExpression
from .syntax import NotConstantError


def allowed_texts(condition: str) -> list[str] | None:
    """Return the sorted texts that a condition ``contains([…], …)`` allows, or None for any other condition.

    Members that are not text are left out. Returns None if the list is not constant.
    """
    document = NativeDocument(f"block {{\n  condition = {condition}\n}}\n".encode(), "condition")
    if document.problems or not document.blocks:
        return None
    expression = document.blocks[0].body.attributes.get("condition")
    call = literals.unwrap(expression.node) if isinstance(expression, NativeExpression) else None
    if call is None or call.type != "function_call":
        return None
    name, arguments = call.child(0), _arguments(call)
    if name is None or document.text_of(name) != "contains" or len(arguments) < 2:
        return None
    try:
        members = constants.constant(arguments[0], document.source)
    except NotConstantError:
        return None
    if not isinstance(members, list):
        return None
    return sorted(member for member in members if isinstance(member, str)) or None


def _arguments(call: Node) -> list[Node]:
    listed = [child for child in call.children if child.type == "function_arguments"]
    return [child for child in listed[0].children if child.type == "expression"] if listed else []
