"""What a template uses of a provider: enough to replace an unavailable provider by a stub."""

from dataclasses import dataclass, field
from typing import TypeAlias

from provisioning.engine.provider.values import TypeExpression

# How a template reads a value, as a tree; see ``BlockUsage``.
Hints: TypeAlias = dict[str, "Hints"]

# Marks in ``BlockUsage.hints`` that say how a template uses a value.
ELEMENT = "[]"
NUMBER, BOOL, OBJECT, JSON, CIDR, TIME = "#number", "#bool", "#object", "#json", "#cidr", "#time"
SPLIT = "#split:"  # followed by the separator; the hints below it are those of the list of parts
AT_LEAST = "#"  # followed by the minimum number of elements
EQUAL = "="  # followed by the text of the value that it is compared with

# The type of an attribute that is set to values of different types.
DIFFERENT = "dynamic"


@dataclass(slots=True)
class BlockUsage:
    """The attributes and blocks that a template sets or reads in one type of block.

    ``hints`` describes how a template reads an attribute: ``{"status": {"[]": {"ip": {}}}}`` stands for
    ``x.status[0].ip``; an empty dict is a leaf. Marks describe how a value is used:
    ``{"body": {"#json": {"tag": {}}}}`` stands for ``jsondecode(x.body).tag``. ``variants`` are the individual data
    sources of the type.
    """

    attributes: set[str] = field(default_factory=set)
    blocks: dict[str, "BlockUsage"] = field(default_factory=dict)
    hints: dict[str, Hints] = field(default_factory=dict)
    variants: "list[Variant]" = field(default_factory=list, compare=False)
    types: dict[str, TypeExpression | None] = field(default_factory=dict, compare=False)
    is_repeated: bool = field(default=False, compare=False)
    is_read: bool = field(default=False, compare=False)

    def merge(self, other: "BlockUsage") -> None:
        """Add everything that ``other`` uses."""
        self.attributes |= other.attributes
        for name, block in other.blocks.items():
            self.blocks.setdefault(name, BlockUsage()).merge(block)
        for name, hint in other.hints.items():
            merge_hints(self.hints.setdefault(name, {}), hint)
        self.variants += other.variants
        self.is_repeated |= other.is_repeated
        self.is_read |= other.is_read
        for name, type_ in other.types.items():
            known = self.types.get(name, type_)
            self.types[name] = type_ if known is None else known if type_ in (None, known) else DIFFERENT


@dataclass(slots=True)
class Variant:
    """One data source: its constant attributes, and how a template reads it."""

    constants: dict[str, str | int | float | bool]
    usage: BlockUsage = field(default_factory=BlockUsage)


@dataclass(slots=True)
class ProviderUsage:
    """The usage of one provider, identified by its full source address (``registry.terraform.io/hashicorp/aws``).

    ``constraints`` are the version constraints of all modules as written (``~> 5.0``).
    """

    address: str
    constraints: set[str] = field(default_factory=set)
    configuration: BlockUsage = field(default_factory=BlockUsage)
    resources: dict[str, BlockUsage] = field(default_factory=dict)
    data_sources: dict[str, BlockUsage] = field(default_factory=dict)
    ephemeral_resources: dict[str, BlockUsage] = field(default_factory=dict)
    functions: dict[str, Hints] = field(default_factory=dict)  # how the results are read
    is_passed: bool = field(default=False, compare=False)  # to a module from outside the template

    @property
    def is_used(self) -> bool:
        """Return False if the template only declares or configures the provider: Terraform then never asks it."""
        used = (self.resources, self.data_sources, self.ephemeral_resources, self.functions)
        return any(used) or self.is_passed


def merge_hints(into: Hints, other: Hints) -> None:
    """Merge two trees of hints, in place."""
    for name, hint in other.items():
        merge_hints(into.setdefault(name, {}), hint)
