"""What a template uses of a provider: enough to replace an unavailable provider by a stub."""

from dataclasses import dataclass, field
from typing import TypeAlias

# How a template reads a value, as a tree; see ``BlockUsage``.
Hints: TypeAlias = dict[str, "Hints"]

# Marks in ``BlockUsage.hints`` that say how a template uses a value.
ELEMENT = "[]"
NUMBER, BOOL, OBJECT, JSON, CIDR, TIME = "#number", "#bool", "#object", "#json", "#cidr", "#time"
AT_LEAST = "#"  # followed by the minimum number of elements
EQUAL = "="  # followed by the text of the value that it is compared with


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

    def merge(self, other: "BlockUsage") -> None:
        """Add everything that ``other`` uses."""
        self.attributes |= other.attributes
        for name, block in other.blocks.items():
            self.blocks.setdefault(name, BlockUsage()).merge(block)
        for name, hint in other.hints.items():
            merge_hints(self.hints.setdefault(name, {}), hint)
        self.variants += other.variants


@dataclass(slots=True)
class Variant:
    """One data source: its constant attributes, and how a template reads it."""

    constants: dict[str, str | int | float | bool]
    usage: BlockUsage = field(default_factory=BlockUsage)


@dataclass(slots=True)
class ProviderUsage:
    """The usage of one provider, identified by its full source address (``registry.terraform.io/hashicorp/aws``)."""

    address: str
    configuration: BlockUsage = field(default_factory=BlockUsage)
    resources: dict[str, BlockUsage] = field(default_factory=dict)
    data_sources: dict[str, BlockUsage] = field(default_factory=dict)


def merge_hints(into: Hints, other: Hints) -> None:
    """Merge two trees of hints, in place."""
    for name, hint in other.items():
        merge_hints(into.setdefault(name, {}), hint)
