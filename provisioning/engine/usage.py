"""What a template uses of a provider: enough to answer for the provider when it cannot be installed."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class BlockUsage:
    """The attribute and block names that a template sets or reads in one kind of block.

    ``hints`` says how a template looks into an attribute: ``{"status": {"[]": {"ip": {}}}}`` stands for
    ``x.status[0].ip``; an empty dict is a leaf.
    """

    attributes: set[str] = field(default_factory=set)
    blocks: dict[str, "BlockUsage"] = field(default_factory=dict)
    hints: dict[str, dict] = field(default_factory=dict)

    def merge(self, other: "BlockUsage") -> None:
        """Add everything that ``other`` uses."""
        self.attributes |= other.attributes
        for name, block in other.blocks.items():
            self.blocks.setdefault(name, BlockUsage()).merge(block)
        for name, hint in other.hints.items():
            merge_hints(self.hints.setdefault(name, {}), hint)


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
