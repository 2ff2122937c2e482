"""Find the providers and modules from which the arguments of ``coder_parameter`` get their values.

If a provider or module is replaced by a stub, these values are made up: they are not checked and not shown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from .literals import as_text
from .native import PROVIDER_FUNCTION
from .providers import BUILTIN_LOCAL_NAME, CODER, full_address, local_name
from .syntax import Block, Body, Expression, NotConstantError, Traversal

PARAMETER_TYPE: Final = "coder_parameter"

# Limits templates whose values refer to each other in many ways.
MAX_DEPTH: Final = 50
MAX_VISITED: Final = 5_000

# Arguments whose value depends on the instance of a repeated block.
_REPETITION: Final = ("for_each", "count")
_INSTANCE: Final = ("each", "count")


@dataclass(frozen=True, slots=True)
class ParameterOrigins:
    """The origins of one ``coder_parameter``.

    ``name`` is the parameter's name, None if it is not constant. ``arguments`` maps the names of arguments and blocks
    (``default``, ``option``) to the addresses of providers and the keys of module calls that their values come from.
    """

    name: str | None
    arguments: Mapping[str, frozenset[str]]


@dataclass(slots=True)
class Scope:
    """One module: its blocks, the addresses of its providers by local name, and the call that leads to it.

    ``children`` are the called modules that can be read, by name; ``key`` is the module's key with a trailing dot.
    """

    blocks: list[Block]
    addresses: Mapping[str, str]
    key: str = ""
    call: Block | None = None
    parent: "Scope | None" = None
    children: "dict[str, Scope]" = field(default_factory=dict)


def parameter_origins(scopes: Iterable[Scope]) -> tuple[ParameterOrigins, ...]:
    """Return the origins of all parameters of the modules."""
    found = []
    for scope in scopes:
        search = _Search()
        for block in scope.blocks:
            if block.type == "data" and block.labels[:1] == (PARAMETER_TYPE,):
                arguments = {
                    name: search.origins(_of_argument(block.body, name), scope, block)
                    for name in sorted({*block.body.attributes, *map(_block_name, block.body.blocks)})
                }
                arguments = {name: origins for name, origins in arguments.items() if origins}
                found.append(ParameterOrigins(_name(block.body), arguments))
    return tuple(found)


def _name(body: Body) -> str | None:
    try:
        name = body.constant("name")
        return as_text(name) if name is not None else None
    except NotConstantError:
        return None


def _block_name(block: Block) -> str:
    return block.labels[0] if block.type == "dynamic" and block.labels else block.type


def _of_argument(body: Body, name: str) -> list[Expression]:
    """Return the expressions of an argument, or of all blocks of a type."""
    found = [body.attributes[name]] if name in body.attributes else []
    for block in body.blocks:
        if _block_name(block) == name:
            found += _all_expressions(block.body)
    return found


def _all_expressions(body: Body) -> list[Expression]:
    return [*body.attributes.values(), *(inner for block in body.blocks for inner in _all_expressions(block.body))]


class _Search:
    """Follows references. Each block, local value and output is visited once for each argument."""

    def __init__(self) -> None:
        self._found: set[str] = set()
        self._visited: set[tuple[str, ...]] = set()

    def origins(self, expressions: Iterable[Expression], scope: Scope, block: Block) -> frozenset[str]:
        self._found, self._visited = set(), set()
        self._follow(expressions, scope, block, MAX_DEPTH)
        return frozenset(self._found)

    def _follow(self, expressions: Iterable[Expression], scope: Scope, block: Block | None, depth: int) -> None:
        if depth == 0:
            return
        for expression in expressions:
            for path in expression.references():
                self._follow_reference(path, scope, block, depth)

    def _follow_reference(self, path: Traversal, scope: Scope, block: Block | None, depth: int) -> None:
        head, *rest = path
        if head.startswith(PROVIDER_FUNCTION):
            local = head.split("::")[1]
            self._found.add(scope.addresses.get(local) or full_address(local))
        elif head in _INSTANCE and block is not None:
            repeated = [block.body.attributes[name] for name in _REPETITION if name in block.body.attributes]
            if self._is_new(scope.key, "repetition", block.type, *block.labels):
                self._follow(repeated, scope, None, depth - 1)
        elif rest and self._is_new(scope.key, *path[:3]):
            self._follow_object(path, scope, depth)

    def _is_new(self, *key: str) -> bool:
        if key in self._visited or len(self._visited) > MAX_VISITED:
            return False
        self._visited.add(key)
        return True

    def _follow_object(self, path: Traversal, scope: Scope, depth: int) -> None:
        head, name = path[:2]
        if head == "local":
            values = [b.body.attributes[name] for b in scope.blocks if b.type == "locals" and name in b.body.attributes]
            self._follow(values, scope, None, depth - 1)
        elif head == "var":
            if scope.parent is not None and scope.call is not None and name in scope.call.body.attributes:
                self._follow([scope.call.body.attributes[name]], scope.parent, scope.call, depth - 1)
        elif head == "module":
            child = scope.children.get(name)
            if child is None:
                self._found.add(f"{scope.key}{name}")
                return
            output = next((step for step in path[2:] if not step.startswith("[")), "")
            for block in child.blocks:
                if block.type == "output" and block.labels == (output,):
                    self._follow(_all_expressions(block.body), child, None, depth - 1)
        else:
            labels = path[1:3] if head in ("data", "ephemeral") else path[:2]
            kind = head if head in ("data", "ephemeral") else "resource"
            for block in scope.blocks:
                if block.type == kind and block.labels == labels:
                    self._follow_block(block, scope, depth)

    def _follow_block(self, block: Block, scope: Scope, depth: int) -> None:
        local = local_name(block)
        if local not in (BUILTIN_LOCAL_NAME, CODER):
            self._found.add(scope.addresses.get(local) or full_address(local))
        if block.type == "data":
            self._follow(_all_expressions(block.body), scope, block, depth - 1)
