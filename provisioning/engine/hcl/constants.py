"""Evaluate constant expressions of the native syntax, as Terraform does for defaults and descriptions of variables.

Such expressions have no functions and no references, but everything else: operators, conditions, ``for`` expressions
and templates. Terraform is not running yet when a template is read, and asking it would take longer than reading.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from tree_sitter import Node

from . import literals
from .constant_templates import INTERPOLATION, Part, template_parts
from .literals import MAX_DEPTH, Constant, as_text, unwrap
from .syntax import NotConstantError

# Loops inside loops can multiply a short text.
MAX_STEPS: Final = 200_000
MAX_CHARACTERS: Final = 8 << 20

Scope = Mapping[str, Constant]

_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}
_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_LOGIC: Final = ("&&", "||")
_OPERATORS: Final = {*_ARITHMETIC, *_COMPARISONS, *_LOGIC, "==", "!=", "!"}
_STEPS: Final = ("get_attr", "index", "splat")
_LITERALS: Final[dict[str, Callable[[str], Constant]]] = {
    "null_lit": lambda _text: None,
    "bool_lit": lambda text: text == "true",
    "numeric_lit": lambda text: literals.plain_number(literals.number(text)),
}
_REASONS: Final = {"function_call": "functions are not allowed here"}


def constant(node: Node, source: bytes) -> Constant:
    """Return the value of an expression. Raises NotConstantError if only Terraform can evaluate it."""
    node = unwrap(node)
    if node.type == "string_lit":  # most constants are texts without interpolations
        return literals.unescape(source[node.start_byte + 1 : node.end_byte - 1].decode())
    return _Evaluator(source).value(node, {}, 0)


class _Evaluator:
    """Evaluates one expression. ``scope`` holds the variables of surrounding loops."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._steps = 0
        self._characters = 0

    def value(self, node: Node, scope: Scope, depth: int) -> Constant:
        if depth > MAX_DEPTH:
            raise NotConstantError("the value is nested too deeply")
        if scope:
            self._count_step()
        node = unwrap(node)
        evaluate = _KINDS.get(node.type)
        if evaluate is not None:
            return evaluate(self, node, scope, depth)
        literal = _LITERALS.get(node.type)
        if literal is None:
            raise NotConstantError(_REASONS.get(node.type, "the value is not a constant"))
        return literal(self._text(node))

    def _count_step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise NotConstantError("its loops have too many steps")

    def _counted(self, text: str) -> str:
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise NotConstantError("the value is too long")
        return text

    def _text(self, node: Node) -> str:
        return self._source[node.start_byte : node.end_byte].decode()

    # ------------------------------------------------------------------ collections and steps
    def variable(self, node: Node, scope: Scope, _depth: int) -> Constant:
        name = self._text(node)
        if name not in scope:
            raise NotConstantError("references are not allowed here")
        return scope[name]

    def tuple_value(self, node: Node, scope: Scope, depth: int) -> list[Constant]:
        return [self.value(child, scope, depth + 1) for child in _expressions(node)]

    def object_value(self, node: Node, scope: Scope, depth: int) -> dict[str, Constant]:
        value: dict[str, Constant] = {}
        for element in node.children:
            if element.type != "object_elem":
                continue
            sides = _expressions(element)
            if len(sides) != 2:
                raise NotConstantError("the value is not a constant")
            value[self._key(sides[0], scope, depth)] = self.value(sides[1], scope, depth + 1)
        return value

    def _key(self, node: Node, scope: Scope, depth: int) -> str:
        inner = unwrap(node)
        if inner.type == "variable_expr" and not self._text(node).startswith("("):
            return self._text(inner)
        if inner.type in ("bool_lit", "null_lit", "numeric_lit"):
            return self._text(inner)
        return as_text(self.value(node, scope, depth + 1))

    def chain(self, node: Node, scope: Scope, depth: int) -> Constant:
        """Return the value of an expression that is followed by attributes and indexes."""
        return self._followed(_meaningful(node), scope, depth)

    def _followed(self, parts: list[Node], scope: Scope, depth: int) -> Constant:
        if not parts or any(part.type not in _STEPS for part in parts[1:]):
            raise NotConstantError("the value is not a constant")
        return self._stepped(self.value(parts[0], scope, depth + 1), parts[1:], scope, depth)

    def _stepped(self, value: Constant, steps: list[Node], scope: Scope, depth: int) -> Constant:
        for position, step in enumerate(steps):
            if step.type == "splat":
                inner = [child for part in step.children for child in part.children if child.type in _STEPS]
                items = value if isinstance(value, list) else [] if value is None else [value]
                items = [self._stepped(item, inner, scope, depth) for item in items]
                return self._stepped(items, steps[position + 1 :], scope, depth)
            if step.type == "get_attr":
                value = _element(value, self._text(step).lstrip(". \t\r\n"))
            else:
                keys = _expressions(step.children[0])
                legacy = self._text(step).lstrip(". \t\r\n")
                value = _element(value, self.value(keys[0], scope, depth + 1) if keys else legacy)
        return value

    def for_expression(self, expression: Node, scope: Scope, depth: int) -> Constant:
        node = expression.children[0]
        intro = next(child for child in node.children if child.type == "for_intro")
        condition = next((child for child in node.children if child.type == "for_cond"), None)
        results = _expressions(node)
        is_grouped = any(child.type == "ellipsis" for child in node.children)
        listed: list[Constant] = []
        named: dict[str, Constant] = {}
        for inner in self._iterations(intro, scope, depth):
            if condition is not None and not _boolean(self.value(_expressions(condition)[0], inner, depth + 1)):
                continue
            if node.type == "for_tuple_expr":
                listed.append(self.value(results[0], inner, depth + 1))
                continue
            key = as_text(self.value(results[0], inner, depth + 1))
            item = self.value(results[1], inner, depth + 1)
            if is_grouped:
                named.setdefault(key, []).append(item)
            elif key in named:
                raise NotConstantError(f'two elements have the key "{key}"')
            else:
                named[key] = item
        return listed if node.type == "for_tuple_expr" else named

    def _iterations(self, intro: Node, scope: Scope, depth: int) -> Iterator[Scope]:
        """Yield the scope of each step of a loop."""
        names = [self._text(child) for child in intro.children if child.type == "identifier"]
        collection = self.value(_expressions(intro)[0], scope, depth + 1)
        if not isinstance(collection, list | dict):
            raise NotConstantError("only a list or an object can be iterated")
        pairs = sorted(collection.items()) if isinstance(collection, dict) else enumerate(collection)
        for key, item in pairs:
            self._count_step()
            yield {**scope, **dict(zip(reversed(names), (item, key), strict=False))}

    # ------------------------------------------------------------------ operators
    def conditional(self, node: Node, scope: Scope, depth: int) -> Constant:
        condition, *branches = _expressions(node)
        is_first = _boolean(self.value(condition, scope, depth + 1))
        first, second = (self.value(branch, scope, depth + 1) for branch in branches)
        return _unified(first, second) if is_first else _unified(second, first)

    def operation(self, node: Node, scope: Scope, depth: int) -> Constant:
        parts = _meaningful(node)
        position = next(index for index, part in enumerate(parts) if part.type in _OPERATORS)
        sides = [side for side in (parts[:position], parts[position + 1 :]) if side]
        values = [self._followed(side, scope, depth) for side in sides]
        sign = parts[position].type
        try:
            if len(values) == 1:
                number = _decimal(values[0]) if sign == "-" else Decimal(0)
                return literals.plain_number(number.copy_negate()) if sign == "-" else not _boolean(values[0])
            left, right = values
            if sign in ("==", "!="):
                return _is_equal(left, right) is (sign == "==")
            if sign in _LOGIC:
                both = (_boolean(left), _boolean(right))
                return all(both) if sign == "&&" else any(both)
            if sign in _COMPARISONS:
                return _COMPARISONS[sign](_decimal(left), _decimal(right))
            return literals.plain_number(_ARITHMETIC[sign](_decimal(left), _decimal(right)))
        except NotConstantError:
            raise
        except (ArithmeticError, ValueError, KeyError) as error:
            raise NotConstantError("the arithmetic has no result") from error

    # ------------------------------------------------------------------ templates
    def template(self, node: Node, scope: Scope, depth: int) -> Constant:
        parts = template_parts(node, self._source)
        is_single = node.type == "quoted_template" and len(parts) == 1
        if is_single and parts[0].tag is not None and parts[0].tag.type == INTERPOLATION:
            return self._interpolated(parts[0].tag, scope, depth)
        text, rest = self._rendered(parts, scope, depth)
        if rest:
            raise NotConstantError("the value is not a constant")
        return text

    def _rendered(self, parts: list[Part], scope: Scope, depth: int) -> tuple[str, list[Part]]:
        """Return the text of the parts up to an ``else`` or an end, and the parts from there on."""
        if depth > MAX_DEPTH:
            raise NotConstantError("the value is nested too deeply")
        texts: list[str] = []
        while parts:
            part, parts = parts[0], parts[1:]
            if part.tag is None:
                texts.append(self._counted(part.text))
            elif part.tag.type == INTERPOLATION:
                texts.append(self._counted(as_text(self._interpolated(part.tag, scope, depth))))
            elif part.tag.type == "template_if_intro":
                text, parts = self._rendered_choice(part.tag, parts, scope, depth)
                texts.append(text)
            elif part.tag.type == "template_for_start":
                text, parts = self._rendered_loop(part.tag, parts, scope, depth)
                texts.append(text)
            else:
                return "".join(texts), [part, *parts]
        return "".join(texts), []

    def _rendered_choice(self, tag: Node, parts: list[Part], scope: Scope, depth: int) -> tuple[str, list[Part]]:
        is_first = _boolean(self.value(_expressions(tag)[0], scope, depth + 1))
        first, rest = self._rendered(parts, scope, depth + 1)
        second = ""
        if rest and rest[0].tag is not None and rest[0].tag.type == "template_else_intro":
            second, rest = self._rendered(rest[1:], scope, depth + 1)
        return first if is_first else second, rest[1:]

    def _rendered_loop(self, tag: Node, parts: list[Part], scope: Scope, depth: int) -> tuple[str, list[Part]]:
        done = [self._rendered(parts, inner, depth + 1)[0] for inner in self._iterations(tag, scope, depth)]
        nesting, position = 1, 0
        while nesting and position < len(parts):
            inside = parts[position].tag
            kind = inside.type if inside is not None else ""
            nesting += (kind == "template_for_start") - (kind == "template_for_end")
            position += 1
        return "".join(done), parts[position:]

    def _interpolated(self, tag: Node, scope: Scope, depth: int) -> Constant:
        return self.value(_expressions(tag)[0], scope, depth + 1)


_KINDS: Final[dict[str, Callable[[_Evaluator, Node, Scope, int], Constant]]] = {
    "string_lit": _Evaluator.template,
    "quoted_template": _Evaluator.template,
    "heredoc_template": _Evaluator.template,
    "tuple": _Evaluator.tuple_value,
    "object": _Evaluator.object_value,
    "unary_operation": _Evaluator.operation,
    "binary_operation": _Evaluator.operation,
    "conditional": _Evaluator.conditional,
    "for_expr": _Evaluator.for_expression,
    "variable_expr": _Evaluator.variable,
    "expression": _Evaluator.chain,
}


def _expressions(node: Node) -> list[Node]:
    return [child for child in node.children if child.type == "expression"]


def _meaningful(node: Node) -> list[Node]:
    return [child for child in node.children if child.type not in ("comment", "(", ")")]


def _element(value: Constant, key: Constant) -> Constant:
    try:
        if isinstance(value, dict):
            return value[as_text(key)]
        if isinstance(value, list):
            index = int(as_text(key))
            if index >= 0:
                return value[index]
    except (KeyError, IndexError, ValueError) as error:
        if isinstance(error, NotConstantError):
            raise
    raise NotConstantError(f"the value has no element {key}")


def _boolean(value: Constant) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise NotConstantError("a bool is required")


def _decimal(value: Constant) -> Decimal:
    if isinstance(value, str):
        return literals.number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotConstantError("a number is required")
    return Decimal(repr(value))


def _kind(value: Constant) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def _is_equal(left: Constant, right: Constant) -> bool:
    """Compare as Terraform does: values of different types are not equal."""
    if _kind(left) is not _kind(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_is_equal, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_is_equal(left[key], right[key]) for key in left)
    return bool(left == right)


def _unified(chosen: Constant, other: Constant) -> Constant:
    """Return the result of a condition in the common type of both results."""
    if isinstance(chosen, list) and isinstance(other, list):
        kinds = {_kind(item) for item in (*chosen, *other) if item is not None}
        is_text = str in kinds and not kinds & {list, dict}
        return [item if item is None else as_text(item) for item in chosen] if is_text else chosen
    if chosen is None or other is None or _kind(chosen) is _kind(other):
        return chosen
    if str not in (_kind(chosen), _kind(other)) or isinstance(other, list | dict):
        raise NotConstantError("the results of the condition have different types")
    return as_text(chosen)
