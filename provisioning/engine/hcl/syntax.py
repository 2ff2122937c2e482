"""The model of a configuration file: blocks with labels, attributes with expressions.

Both syntaxes (``native`` and ``json_syntax``) are parsed into these classes, so the code that reads templates handles
both.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .problems import Location, Problem

# ``data.coder_parameter.size[0].value`` is ("data", "coder_parameter", "size", "[]", "value"). Literal indexes other
# than 0 are kept: ``x["a"][2]`` is ("x", '["a"]', "[2]"). Steps that start with "#" or "=" are not in the source, see
# ``value_shapes``.
Traversal = tuple[str, ...]
INDEX = "[]"


def without_instance_key(path: Traversal) -> Traversal:
    """Return the steps after the address of a resource or module, without leading indexes."""
    keys = next((count for count, step in enumerate(path) if step[0] not in "[#="), len(path))
    return path[keys:]


class NotConstantError(ValueError):
    """Raised when only Terraform can evaluate an expression. The message gives the reason in a few words."""


class Expression(ABC):
    """The right-hand side of an attribute."""

    location: Location

    @property
    @abstractmethod
    def text(self) -> str:
        """The source text, exactly as written."""

    @abstractmethod
    def constant(self) -> Any:
        """Return the value as JSON types. Raises NotConstantError if it is not constant."""

    @abstractmethod
    def keyword(self) -> str:
        """Return the expression as a bare name: ``google.eu`` for both ``google.eu`` and ``"google.eu"``."""

    @abstractmethod
    def references(self) -> Iterator[Traversal]:
        """Yield every reference in the expression, and every call of a provider's function, in no particular order."""

    @abstractmethod
    def as_blocks(self, block_type: str) -> "list[Block]":
        """Return the expression as nested blocks, which JSON writes like attributes; an empty list otherwise."""

    @abstractmethod
    def elements(self) -> "dict[str, Expression]":
        """Return the elements of an object by key; empty if the expression is not an object."""


@dataclass(slots=True)
class Body:
    """The content of a block, in source order."""

    attributes: dict[str, Expression] = field(default_factory=dict)
    blocks: "list[Block]" = field(default_factory=list)

    def blocks_of(self, block_type: str) -> "list[Block]":
        """Return the nested blocks of one type, in native or JSON syntax."""
        found = [block for block in self.blocks if block.type == block_type]
        if not found and block_type in self.attributes:
            return self.attributes[block_type].as_blocks(block_type)
        return found

    def constant(self, name: str, default: Any = None) -> Any:
        """Return an attribute's value, or ``default`` if it is not set. Raises NotConstantError."""
        expression = self.attributes.get(name)
        return default if expression is None else expression.constant()


@dataclass(slots=True)
class Block:
    type: str
    labels: tuple[str, ...]
    body: Body
    location: Location


class Document(ABC):
    """One file of a template. ``file`` is its path relative to the template's root. ``attributes`` are those outside of
    blocks, which only variable files have."""

    file: str
    blocks: list[Block]
    attributes: dict[str, Expression]
    problems: list[Problem]

    @abstractmethod
    def references(self) -> Iterator[Traversal]:
        """Yield every reference in the file, in no particular order."""

    @abstractmethod
    def line_text(self, line: int) -> str:
        """Return a line of the source, counted from 1; "" if there is no such line."""

    def problem(self, summary: str, line: int) -> Problem:
        """Return a problem at a line of this file."""
        return Problem(summary, Location(self.file, line), self.line_text(line))


def merge_overrides(blocks: list[Block], overrides: Iterable[Block]) -> list[Block]:
    """Return ``blocks`` merged with the blocks of override files, as Terraform does: attributes one by one, nested
    blocks by type. An override without a counterpart is appended; Terraform reports it as an error."""
    merged = list(blocks)
    first: dict[tuple[str, ...], Block] = {}
    for block in merged:
        first.setdefault((block.type, *block.labels), block)
    for override in overrides:
        base = first.get((override.type, *override.labels))
        if base is None or override.type in ("locals", "terraform"):
            merged.append(override)
            first.setdefault((override.type, *override.labels), override)
            continue
        base.body.attributes.update(override.body.attributes)
        replaced = {block.type for block in override.body.blocks}
        base.body.blocks = [b for b in base.body.blocks if b.type not in replaced] + override.body.blocks
    return merged
