"""What a template uses of a provider: enough to answer for the provider when it cannot be installed."""

from dataclasses import dataclass, field

# What a template does with a value, beside the names of what it looks at in it: marks in ``BlockUsage.hints``.
ELEMENT = "[]"
NUMBER, BOOL, OBJECT, JSON, CIDR, TIME = "#number", "#bool", "#object", "#json", "#cidr", "#time"
AT_LEAST = "#"  # followed by the number of elements that are indexed
EQUAL = "="  # followed by the text of what it is compared with


@dataclass(slots=True)
class BlockUsage:
    """The attribute and block names that a template sets or reads in one kind of block.

    ``hints`` says how a template looks into an attribute: ``{"status": {"[]": {"ip": {}}}}`` stands for
    ``x.status[0].ip``; an empty dict is a leaf. Marks say what is done with a value:
    ``{"body": {"#json": {"tag": {}}}}`` stands for ``jsondecode(x.body).tag``. ``variants`` are the data sources
    that make up the usage of a type.
    """

    attributes: set[str] = field(default_factory=set)
    blocks: dict[str, "BlockUsage"] = field(default_factory=dict)
    hints: dict[str, dict] = field(default_factory=dict)
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
    """One data source among those of a type: what it is known by, and how a template looks into it alone."""

    constants: dict[str, str | int | float | bool]
    usage: BlockUsage = field(default_factory=BlockUsage)


@dataclass(slots=True)
class ProviderUsage:
    """One provider by its full source address (``registry.terraform.io/hashicorp/aws``)."""

    address: str
    configuration: BlockUsage = field(default_factory=BlockUsage)
    resources: dict[str, BlockUsage] = field(default_factory=dict)
    data_sources: dict[str, BlockUsage] = field(default_factory=dict)


def merge_hints(into: dict, other: dict) -> None:
    """Merge two trees of hints, in place."""
    for name, hint in other.items():
        merge_hints(into.setdefault(name, {}), hint)
