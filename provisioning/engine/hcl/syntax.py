"""The shape of a configuration file: blocks with labels, attributes with expressions.

Both syntaxes (``native`` and ``json_syntax``) are read into these classes, so that what is looked for in a
template is written once.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .problems import Location, Problem

# ``data.coder_parameter.size[0].value`` as ("data", "coder_parameter", "size", "[]", "value"); an index that is
# written out keeps it, 0 aside: ``x["a"][2]`` is ("x", '["a"]', "[2]"). What starts with "#" or "=" is no part of the
# source, see ``value_shapes``.
Traversal = tuple[str, ...]
INDEX = "[]"


def without_instance_key(path: Traversal) -> Traversal:
    """What follows the address of a resource or a module, without leading indexes."""
    keys = next((count for count, step in enumerate(path) if step[0] not in "[#="), len(path))
    return path[keys:]


class NotConstantError(ValueError):
    """An expression has no value without Terraform. The text says why, in a few words."""


class Expression(ABC):
    """The right-hand side of an attribute."""

    location: Location

    @property
    @abstractmethod
    def text(self) -> str:
        """The source text, exactly as written."""

    @abstractmethod
    def constant(self) -> Any:
        """The value as JSON types. Raises NotConstantError."""

    @abstractmethod
    def keyword(self) -> str:
        """The expression read as a bare name: ``google.eu`` for both ``google.eu`` and ``"google.eu"``."""

    @abstractmethod
    def as_blocks(self, block_type: str) -> "list[Block]":
        """The expression read as nested blocks: JSON writes them like attributes; else the list is empty."""

    @abstractmethod
    def elements(self) -> "dict[str, Expression]":
        """The elements of an object by key; empty when the expression is no object."""


@dataclass(slots=True)
class Body:
    """What stands between the braces of a block, in the order of the source."""

    attributes: dict[str, Expression] = field(default_factory=dict)
    blocks: "list[Block]" = field(default_factory=list)

    def blocks_of(self, block_type: str) -> "list[Block]":
        """Nested blocks of one type, also when they are written in JSON's way."""
        found = [block for block in self.blocks if block.type == block_type]
        if not found and block_type in self.attributes:
            return self.attributes[block_type].as_blocks(block_type)
        return found

    def constant(self, name: str, default: Any = None) -> Any:
        """The value of an attribute; ``default`` when it is absent. Raises NotConstantError."""
        expression = self.attributes.get(name)
        return default if expression is None else expression.constant()


@dataclass(slots=True)
class Block:
    type: str
    labels: tuple[str, ...]
    body: Body
    location: Location


class Document(ABC):
    """One file of a template. ``file`` is its path relative to the root of the template."""

    file: str
    blocks: list[Block]
    problems: list[Problem]

    @abstractmethod
    def references(self) -> Iterator[Traversal]:
        """Every reference of the file, in no particular order."""

    @abstractmethod
    def line_text(self, line: int) -> str:
        """A line of the source, from 1; "" outside of it."""

    def problem(self, summary: str, line: int) -> Problem:
        """A problem at a line of this file."""
        return Problem(summary, Location(self.file, line), self.line_text(line))


def merge_overrides(blocks: list[Block], overrides: Iterable[Block]) -> list[Block]:
    """``blocks`` changed by the blocks of override files, as Terraform merges them: attributes one by one,
    nested blocks by type. A block without a counterpart is appended; Terraform complains about it."""
    merged = list(blocks)
    for override in overrides:
        base = next((b for b in merged if b.type == override.type and b.labels == override.labels), None)
        if base is None or override.type in ("locals", "terraform"):
            merged.append(override)
            continue
        base.body.attributes.update(override.body.attributes)
        replaced = {block.type for block in override.body.blocks}
        base.body.blocks = [b for b in base.body.blocks if b.type not in replaced] + override.body.blocks
    return merged
