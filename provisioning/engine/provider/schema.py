"""Schemas of a provider, its resources and its data sources, and their protocol messages."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum
from typing import TypeAlias

from provisioning.engine.provider import tfplugin6_pb2 as pb
from provisioning.engine.provider.values import TypeExpression, Value

# Returns the error in a value that is set and known, or None. The text completes "The value of x …".
Check: TypeAlias = Callable[[Value], str | None]


class Presence(Enum):
    """Which side sets an attribute's value: the template, the provider, or either."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    COMPUTED = "computed"
    OPTIONAL_COMPUTED = "optional+computed"


class Nesting(IntEnum):
    SINGLE = 1
    LIST = 2
    SET = 3


@dataclass(frozen=True, slots=True)
class Attribute:
    """``type`` is a Terraform type expression. ``default`` replaces a missing value. ``conflicts_with`` lists
    attributes that must not be set together with this one. If ``replaces``, a change of the attribute replaces the
    resource."""

    type: TypeExpression = "string"
    presence: Presence = Presence.OPTIONAL
    default: Value = None
    sensitive: bool = False
    deprecated: bool = False
    replaces: bool = True
    check: Check | None = None
    conflicts_with: tuple[str, ...] = ()

    @property
    def computed(self) -> bool:
        return self.presence in (Presence.COMPUTED, Presence.OPTIONAL_COMPUTED)

    def message(self, name: str) -> pb.Schema.Attribute:
        return pb.Schema.Attribute(
            name=name,
            type=json.dumps(self.type).encode(),
            required=self.presence is Presence.REQUIRED,
            optional=self.presence in (Presence.OPTIONAL, Presence.OPTIONAL_COMPUTED),
            computed=self.computed,
            sensitive=self.sensitive,
            deprecated=self.deprecated,
        )


@dataclass(frozen=True, slots=True)
class Schema:
    """Attributes and nested blocks by name: of a provider, a resource, a data source or a nested block."""

    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    blocks: Mapping[str, "NestedBlock"] = field(default_factory=dict)

    def block_message(self) -> pb.Schema.Block:
        return pb.Schema.Block(
            attributes=[attribute.message(name) for name, attribute in self.attributes.items()],
            block_types=[block.message(name) for name, block in self.blocks.items()],
        )

    def message(self) -> pb.Schema:
        return pb.Schema(block=self.block_message())

    def extended(self, other: "Schema") -> "Schema":
        """Return this schema extended by ``other``. Blocks with the same name are merged, attributes replaced."""
        blocks = {**self.blocks, **other.blocks}
        for name in self.blocks.keys() & other.blocks.keys():
            mine = self.blocks[name]
            blocks[name] = replace(mine, schema=mine.schema.extended(other.blocks[name].schema))
        return Schema({**self.attributes, **other.attributes}, blocks)


@dataclass(frozen=True, slots=True)
class NestedBlock:
    """A block inside a block. ``max_items`` 0 means any number."""

    schema: Schema
    nesting: Nesting = Nesting.LIST
    max_items: int = 0

    def message(self, name: str) -> pb.Schema.NestedBlock:
        return pb.Schema.NestedBlock(
            type_name=name,
            block=self.schema.block_message(),
            nesting=pb.Schema.NestedBlock.NestingMode.Name(self.nesting),
            max_items=self.max_items,
        )


def required(type_: TypeExpression = "string", *, check: Check | None = None) -> Attribute:
    return Attribute(type_, Presence.REQUIRED, check=check)


def optional(
    type_: TypeExpression = "string",
    *,
    default: Value = None,
    check: Check | None = None,
    conflicts_with: tuple[str, ...] = (),
    deprecated: bool = False,
) -> Attribute:
    return Attribute(type_, default=default, check=check, conflicts_with=conflicts_with, deprecated=deprecated)


def computed(type_: TypeExpression = "string", *, sensitive: bool = False) -> Attribute:
    return Attribute(type_, Presence.COMPUTED, sensitive=sensitive)
