"""Infer the shape of values from how a template uses them: what it iterates over, decodes, counts or compares.

A stub for a data source or module returns placeholders in the shape that the template expects. A reference alone does
not reveal that shape: in ``for subnet in local.subnets : subnet.id`` it depends on where ``local.subnets`` comes from.
This module follows references through locals, ``for``, ``each``, dynamic blocks and functions that pass a collection
on. It does not evaluate anything, so the result is a guess; expressions that it does not understand are left out.
"""

import itertools
import time
from collections.abc import Iterable, Iterator

from tree_sitter import Node

from provisioning.engine.provider_usage import AT_LEAST, BOOL, EQUAL, NUMBER, OBJECT, SPLIT

from .constants import constant
from .native import PROVIDER_FUNCTION, NativeDocument, NativeExpression
from .syntax import INDEX, Block, Expression, NotConstantError, Traversal
from .value_nodes import (
    IGNORED,
    ancestors,
    block_type,
    has_value_step,
    is_in_coder_block,
    is_same,
    is_within_condition,
    last_of_chain,
    node_after,
)
from .value_tables import AS_LIST, CODER_TYPES, FUNCTIONS, ONLY_FIRST, SECOND

MAX_DEPTH = 24
MAX_PATHS = 8  # for one expression
MAX_STEPS = 32
MAX_USES = 200  # of one variable or output
MAX_SEPARATOR = 16  # characters

_ARITHMETIC = frozenset({"+", "-", "*", "/", "%", "<", ">", "<=", ">="})
_LOGIC = frozenset({"&&", "||"})


def find_uses(documents: Iterable[NativeDocument], blocks: Iterable[Block], deadline: float) -> Iterator[Traversal]:
    """Yield what the files of one module read, as traversals that start at a resource, data source or module.

    ``blocks`` are the module's blocks, which contain its locals. Stops at ``deadline`` (``time.monotonic``), because
    hostile input can take long to follow.
    """
    reader = _Reader(blocks)
    for document in documents:
        for node in (*document.reference_nodes(), *document.provider_calls()):
            if time.monotonic() > deadline:
                return
            yield from reader.steps_for(document, node)


def sources_of(blocks: Iterable[Block], expressions: Iterable[Expression | None]) -> list[list[Traversal]]:
    """Return the possible sources of each expression of a module with these blocks. JSON expressions have none."""
    reader = _Reader(blocks)
    return [
        reader.sources_of_expression(expression.document, expression.node, MAX_DEPTH)[:MAX_PATHS]
        if isinstance(expression, NativeExpression)
        else []
        for expression in expressions
    ]


def joined(sources: Iterable[Traversal], uses: Iterable[Traversal]) -> Iterator[Traversal]:
    """Yield each source followed by the steps of each use."""
    for source, use in itertools.islice(itertools.product(sources, uses), MAX_USES):
        yield _collapsed((*source, *use))[:MAX_STEPS]


class _Reader:
    def __init__(self, blocks: Iterable[Block]) -> None:
        self._locals: dict[str, NativeExpression] = {}
        self._known_locals: dict[str, list[Traversal]] = {}
        for block in blocks:
            if block.type == "locals":
                self._locals |= {
                    name: value for name, value in block.body.attributes.items() if isinstance(value, NativeExpression)
                }

    # ------------------------------------------------------------------ from a reference to its use
    def steps_for(self, document: NativeDocument, node: Node) -> Iterator[Traversal]:
        """Yield the uses of a reference, one for each source that the reference can have."""
        paths = self._sources_of_chain(document, node, MAX_DEPTH)
        if not paths:
            return
        for suffix in self._steps_after_value(document, last_of_chain(node), MAX_DEPTH):
            for path in paths:
                found = _collapsed((*path, *suffix))
                if _FOR_RESULT in found:
                    found = found[: found.index(_FOR_RESULT)]
                if found[-1:] == (AS_LIST,):
                    found = found[:-1]
                yield found[:MAX_STEPS]

    def _steps_after_value(self, document: NativeDocument, last: Node, depth: int) -> list[Traversal]:
        """Return the steps applied to a value whose chain ends at ``last``."""
        container = last.parent
        if container is None or depth == 0:
            return [()]
        if container.type == "binary_operation":
            return [self._operand_step(document, container, last)]
        if container.type == "unary_operation":
            return [(BOOL,) if container.children[0].type == "!" else (NUMBER,)]
        if last.type == ")" or container.type != "expression":
            return [()]
        return self._steps_after_expression(document, container, depth)

    def _steps_after_expression(self, document: NativeDocument, container: Node, depth: int) -> list[Traversal]:
        """Return the steps applied to the value of a whole expression."""
        around = container.parent
        if around is None:
            return [()]
        match around.type:
            case "function_arguments":
                return self._steps_from_argument(document, container, depth)
            case "conditional":
                if is_same(around.children[0], container):
                    return [(BOOL,)]
                return self._steps_after_value(document, around, depth - 1)
            case "for_intro":
                return [(INDEX,)]
            case "for_cond":
                return [(BOOL,)]
            case "for_tuple_expr" | "for_object_expr":
                return self._steps_through_for(document, container, around, depth)
            case "attribute":
                name = document.text_of(around.children[0])
                if name == "for_each" and block_type(document, around) != "dynamic":
                    # Outside of dynamic blocks Terraform accepts maps and sets of strings.
                    return [(OBJECT,), (INDEX,)]
                if name in CODER_TYPES and is_in_coder_block(document, around):
                    return [(CODER_TYPES[name],)]
                return [{"for_each": (INDEX,), "count": (NUMBER,)}.get(name, ())]
            case "expression" | "binary_operation" | "unary_operation":  # in parentheses
                after = node_after(container)
                if after is None or after.type != ")":
                    return [()]
                steps = document.steps_after(after)
                return [(*steps, *rest) for rest in self._steps_after_value(document, last_of_chain(after), depth - 1)]
        return [()]

    def _steps_through_for(
        self, document: NativeDocument, expression: Node, for_expression: Node, depth: int
    ) -> list[Traversal]:
        """Return the steps applied to the elements of a collection that a ``for`` builds from an expression."""
        last = [child for child in for_expression.children if child.type == "expression"][-1]
        whole = for_expression.parent
        if whole is None or not is_same(last, expression):
            return [()]
        steps = document.steps_after(whole)
        done = [(*steps, *rest) for rest in self._steps_after_value(document, last_of_chain(whole), depth - 1)]
        return [steps[1:] for steps in done if steps and not steps[0].startswith("#")] or [()]

    def _steps_from_argument(self, document: NativeDocument, argument: Node, depth: int) -> list[Traversal]:
        arguments = argument.parent
        call = arguments.parent if arguments is not None else None
        if arguments is None or call is None:
            return [()]
        name = document.text_of(call.children[0])
        given = [child for child in arguments.children if child.type == "expression"]
        position = next(index for index, child in enumerate(given) if is_same(child, argument))
        if name == "split":
            return self._steps_through_split(document, call, given, depth) if position == 1 else [()]
        if name in SECOND:
            return [SECOND[name] if position == 1 else ()]
        if name == "contains":
            return [self._contains_step(document, given, position)]
        does = FUNCTIONS.get(name)
        if does is None or (position > 0 and name in ONLY_FIRST):
            return [()]
        what, result = does
        found: list[Traversal] = [what]
        if name == "slice" and len(given) == 3 and (end := _whole_number(document, given[2])):
            found.append((f"{AT_LEAST}{end}",))
        if name == "element" and len(given) == 2 and (index := _whole_number(document, given[1])):
            found.append((f"{AT_LEAST}{index + 1}",))
        steps = document.steps_after(call)
        if name in ("keys", "values") and steps:
            found.append((INDEX,))
        if name == "lookup" and len(given) == 2 and isinstance(key := _constant(document, given[1]), str):
            found.append((f'["{key}"]', *steps))
        if result is not None:
            found += [
                (*result, *steps, *rest) for rest in self._steps_after_value(document, last_of_chain(call), depth - 1)
            ]
        return found

    def _steps_through_split(
        self, document: NativeDocument, call: Node, given: list[Node], depth: int
    ) -> list[Traversal]:
        """Return the steps applied to a text and to the parts into which ``split`` divides it."""
        mark = _split_mark(document, given)
        if not mark:
            return [()]
        steps = document.steps_after(call)
        after = self._steps_after_value(document, last_of_chain(call), depth - 1)
        return [(mark, INDEX), *((mark, *steps, *rest) for rest in after)]

    @staticmethod
    def _contains_step(document: NativeDocument, given: list[Node], position: int) -> Traversal:
        if position == 0:
            return (INDEX,)
        listed = _constant(document, given[0])
        return (f"{EQUAL}{_text(listed[0])}",) if isinstance(listed, list) and listed else ()

    @staticmethod
    def _operand_step(document: NativeDocument, operation: Node, last: Node) -> Traversal:
        operator = next((child.type for child in operation.children if child.type in _OPERATORS), "")
        if operator in _ARITHMETIC:
            return (NUMBER,)
        if operator in _LOGIC:
            return (BOOL,)
        if operator == "==" and is_within_condition(document, operation):
            other = [child for child in operation.children if child.type in ("literal_value", "template_expr")]
            if len(other) == 1 and not is_same(other[0], last) and (value := _constant(document, other[0])) is not None:
                return (f"{EQUAL}{_text(value)}",)
        return ()

    # ------------------------------------------------------------------ from an expression to its sources
    def _sources_of_chain(self, document: NativeDocument, head: Node, depth: int) -> list[Traversal]:
        """Return the possible sources of a value and the attributes and indexes that follow it."""
        if depth == 0:
            return []
        if head.type == "variable_expr":
            return self._sources_of_variable(document, head, depth)[:MAX_PATHS]
        steps = document.steps_after(head)
        return [(*path, *steps)[:MAX_STEPS] for path in self._sources_of_head(document, head, depth)][:MAX_PATHS]

    def _sources_of_head(self, document: NativeDocument, head: Node, depth: int) -> list[Traversal]:
        if head.type == "function_call":
            return self._sources_of_result(document, head, depth)
        if head.type == "conditional":
            branches = [child for child in head.children if child.type == "expression"][1:]
            return [path for branch in branches for path in self.sources_of_expression(document, branch, depth - 1)]
        if head.type == "for_expr":
            element = [child for child in head.children[0].children if child.type == "expression"][-1]
            # Each element of the result is a value of the last expression.
            return [(*path, _FOR_RESULT) for path in self.sources_of_expression(document, element, depth - 1)]
        return []

    def _sources_of_result(self, document: NativeDocument, call: Node, depth: int) -> list[Traversal]:
        name = document.text_of(call.children[0])
        if name.startswith(PROVIDER_FUNCTION):
            return [(name,)]
        does = FUNCTIONS.get(name)
        arguments = next((child for child in call.children if child.type == "function_arguments"), None)
        if arguments is None or name == "split":
            return self._sources_of_split(document, arguments, depth) if arguments is not None else []
        if does is None or does[1] is None:
            return []
        given = [child for child in arguments.children if child.type == "expression"]
        if name in ONLY_FIRST:
            given = given[:1]
        found = [path for argument in given for path in self.sources_of_expression(document, argument, depth - 1)]
        return [_collapsed((*path, *does[1])) for path in found]

    def _sources_of_split(self, document: NativeDocument, arguments: Node, depth: int) -> list[Traversal]:
        given = [child for child in arguments.children if child.type == "expression"]
        mark = _split_mark(document, given)
        if not mark:
            return []
        return [(*path, mark) for path in self.sources_of_expression(document, given[1], depth - 1)]

    def sources_of_expression(self, document: NativeDocument, expression: Node, depth: int) -> list[Traversal]:
        """Return the possible sources of a whole expression."""
        head = next((child for child in expression.children if child.type not in IGNORED), None)
        if head is None or depth <= 0:
            return []
        if head.type == "(":
            inner = next((child for child in expression.children if child.type == "expression"), None)
            closing = next((child for child in expression.children if child.type == ")"), None)
            if inner is None or closing is None:
                return []
            steps = document.steps_after(closing)
            return [(*path, *steps)[:MAX_STEPS] for path in self.sources_of_expression(document, inner, depth - 1)]
        return [_collapsed(path) for path in self._sources_of_chain(document, head, depth)]

    def _sources_of_variable(self, document: NativeDocument, node: Node, depth: int) -> list[Traversal]:
        path = document.traversal(node)
        name = path[0]
        bound = self._bound_sources(document, node, name, depth)
        if bound is not None:
            skipped = 2 if has_value_step(name, path, bound[1]) else 1
            return [_collapsed((*base, *path[skipped:])) for base in bound[0]] if len(path) >= skipped else []
        if name == "local":
            return (
                [_collapsed((*base, *path[2:])) for base in self._sources_of_local(path[1], depth)]
                if len(path) > 1
                else []
            )
        if name in ("path", "terraform", "each", "self", "count"):
            return []
        return [path]

    def _sources_of_local(self, name: str, depth: int) -> list[Traversal]:
        if name not in self._known_locals:
            self._known_locals[name] = []  # stops at a local that refers to itself
            found = self._locals.get(name)
            if found is not None:
                self._known_locals[name] = self.sources_of_expression(found.document, found.node, depth - 1)[:MAX_PATHS]
        return self._known_locals[name]

    def _bound_sources(
        self, document: NativeDocument, node: Node, name: str, depth: int
    ) -> tuple[list[Traversal], bool] | None:
        """Return the sources of a name that is bound by a surrounding block or ``for``; None if it is not bound.

        The second item is True if the value is reached through ``.value`` (``each.value``).
        """
        inside = node
        for around in ancestors(node):
            if around.type in ("for_tuple_expr", "for_object_expr") and inside.type != "for_intro":
                intro = next(child for child in around.children if child.type == "for_intro")
                names = [document.text_of(child) for child in intro.children if child.type == "identifier"]
                if name == names[-1]:
                    return self._elements(document, intro, depth), False
                if name in names:
                    return [], False
            elif around.type == "block":
                found = self._bound_by_block(document, around, name, depth)
                if found is not None:
                    return found
            inside = around
        return None

    def _bound_by_block(
        self, document: NativeDocument, block: Node, name: str, depth: int
    ) -> tuple[list[Traversal], bool] | None:
        kind, *labels = [
            document.text_of(child).strip('"') for child in block.children if child.type in ("identifier", "string_lit")
        ]
        if kind == "dynamic" and labels:
            iterator = document.attribute_of(block, "iterator")
            if name == (document.text_of(iterator).strip() if iterator is not None else labels[0]):
                return self._elements(document, document.attribute_of(block, "for_each"), depth), True
        if kind in ("resource", "data", "module"):
            if name == "each":
                return self._elements(document, document.attribute_of(block, "for_each"), depth), True
            if name == "self" and len(labels) == 2:
                return [("data", *labels) if kind == "data" else tuple(labels)], False
        return None

    def _elements(self, document: NativeDocument, collection: Node | None, depth: int) -> list[Traversal]:
        """Return the sources of the collection's elements. ``collection`` is an expression or the head of a ``for``."""
        if collection is not None and collection.type == "for_intro":
            collection = next(child for child in collection.children if child.type == "expression")
        if collection is None:
            return []
        return [_collapsed((*path, INDEX)) for path in self.sources_of_expression(document, collection, depth - 1)]


_OPERATORS = _ARITHMETIC | _LOGIC | {"==", "!="}
# Marks a list or map built by a ``for``, until an index selects an element.
_FOR_RESULT = "#made"


def _collapsed(path: Traversal) -> Traversal:
    """Remove each ``for`` result and the index that selects an element of it, and the marks of lists."""
    if AS_LIST in path[:-1]:
        marked = path.index(AS_LIST)
        after = _collapsed(path[marked + 1 :])
        # A list is not used as a map, so the mark of a map is about the list and not about the argument.
        path = path[:marked] if after[:1] == (OBJECT,) else (*path[:marked], *after)
    if _FOR_RESULT not in path:
        return path
    kept: list[str] = []
    for step in path:
        if kept and kept[-1] == _FOR_RESULT and not step.startswith("#"):
            kept.pop()
            continue
        kept.append(step)
    return tuple(kept)


def _constant(document: NativeDocument, node: Node) -> object:
    try:
        return constant(node, document.source)
    except NotConstantError:
        return None


def _split_mark(document: NativeDocument, given: list[Node]) -> str:
    """Return the mark of a text that is split, empty if the separator is not constant."""
    separator = _constant(document, given[0]) if len(given) == 2 else None
    return f"{SPLIT}{separator}" if isinstance(separator, str) and 0 < len(separator) <= MAX_SEPARATOR else ""


def _whole_number(document: NativeDocument, node: Node) -> int:
    value = _constant(document, node)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1000 else 0


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
