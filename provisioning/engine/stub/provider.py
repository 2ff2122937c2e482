"""Stub for an unavailable provider: its schema has the attributes and blocks that the template uses.

Every attribute is dynamic, optional and computed. Unset attributes of a resource are unknown at plan time, like most
computed attributes of the real provider. Data sources return placeholders in the shape that the template reads. A
template planned with a stub is unverified and never applied.
"""

import re
from dataclasses import replace
from typing import Final

from provisioning.engine.hcl.value_types import guessed_type
from provisioning.engine.provider.base import Object, Provider
from provisioning.engine.provider.diagnostics import Diagnostic, DiagnosticError
from provisioning.engine.provider.schema import Attribute, NestedBlock, Nesting, Presence, Schema
from provisioning.engine.provider.values import UNKNOWN, TypeExpression, Value, dynamic, is_set, split_dynamic
from provisioning.engine.provider_usage import BlockUsage, Hints, ProviderUsage
from provisioning.engine.stub.placeholders import placeholder

# Terraform rejects a whole schema because of one name outside this alphabet. Such a name is an error in the template;
# Terraform reports it with a better message.
_NAME: Final = re.compile(r"[a-z0-9_]+")
# Arguments that belong to Terraform: of resource and data blocks, and of provider blocks.
_META_ARGUMENTS: Final = frozenset(
    {"count", "for_each", "depends_on", "provider", "lifecycle", "connection", "provisioner"}
)
_PROVIDER_META_ARGUMENTS: Final = frozenset({"alias", "version"})

_ANYTHING: Final = Attribute("dynamic", Presence.OPTIONAL_COMPUTED, replaces=False)
_SETTING: Final = Attribute("dynamic", Presence.OPTIONAL)
_ID: Final = Attribute("string", Presence.OPTIONAL_COMPUTED, replaces=False)


class StubProvider(Provider):
    """Replaces the provider that ``usage`` describes."""

    def __init__(self, usage: ProviderUsage) -> None:
        self.address = usage.address
        self.configuration = _schema(usage.configuration, _SETTING, _PROVIDER_META_ARGUMENTS)
        self.resources = {name: _top_level_schema(block) for name, block in usage.resources.items()}
        self.data_sources = {name: _deferrable_schema(block) for name, block in usage.data_sources.items()}
        self.ephemeral_resources = {
            name: _deferrable_schema(block) for name, block in usage.ephemeral_resources.items()
        }
        self.functions = sorted(usage.functions)
        self._usage = usage

    def plan(self, type_name: str, proposed: Object) -> Object:
        planned = super().plan(type_name, proposed)
        for name in self.resources[type_name].blocks:
            planned[name] = _unknown_where_unset(planned.get(name))
        return planned

    def apply(self, type_name: str, planned: Object) -> Object:
        raise self._unverified_error(type_name)

    def destroy(self, type_name: str) -> None:
        raise self._unverified_error(type_name)

    def read_data_source(self, type_name: str, config: Object) -> Object:
        return _with_placeholders(
            self._usage.data_sources[type_name], self.data_sources[type_name], config, f"stub-{type_name}"
        )

    def open_ephemeral_resource(self, type_name: str, config: Object) -> Object:
        return _with_placeholders(
            self._usage.ephemeral_resources[type_name],
            self.ephemeral_resources[type_name],
            config,
            f"stub-{type_name}",
        )

    def call_function(self, name: str) -> Value:
        return dynamic(*placeholder(self._usage.functions[name]))

    def _unverified_error(self, type_name: str) -> DiagnosticError:
        return DiagnosticError(
            Diagnostic(
                "Unverified template",
                f"The provider {self.address} of {type_name} could not be installed, so this template is "
                "unverified. An unverified template is never applied.",
            )
        )


def _with_placeholders(usage: BlockUsage, schema: Schema, config: Object, stub_id: str) -> Object:
    """Return ``config`` with placeholders for unset attributes."""
    hints = _hints(usage, config)
    state = dict(config)
    for name, attribute in schema.attributes.items():
        if state.get(name) is None:
            state[name] = stub_id if attribute is _ID else dynamic(*placeholder(hints.get(name, {})))
    return state


def _hints(usage: BlockUsage, config: Object) -> Hints:
    """Return the hints for the data source with this configuration."""
    given = {name: split[1] for name, value in config.items() if (split := split_dynamic(value)) is not None}
    matching = BlockUsage()
    for variant in usage.variants:
        if all(given.get(name) == value for name, value in variant.constants.items() if name in given):
            matching.merge(variant.usage)
    return matching.hints or usage.hints


def _top_level_schema(usage: BlockUsage) -> Schema:
    schema = _schema(usage, _ANYTHING, _META_ARGUMENTS)
    blocks = {name: block for name, block in schema.blocks.items() if name != "id"}
    return Schema({**schema.attributes, "id": _ID}, blocks)


def _deferrable_schema(usage: BlockUsage) -> Schema:
    """Return the schema of a data source, which Terraform can defer to the apply.

    Terraform crashes if it defers a data source with a list of blocks that have attributes of any type. So a block that
    occurs once is not a list, and the attributes of the other blocks have types.
    """
    schema = _top_level_schema(usage)
    return Schema(
        schema.attributes, {name: _deferrable_block(block, usage.blocks[name]) for name, block in schema.blocks.items()}
    )


def _deferrable_block(block: NestedBlock, usage: BlockUsage, is_in_list: bool = False) -> NestedBlock:
    is_single = not (is_in_list or usage.is_repeated or usage.is_read)
    attributes = block.schema.attributes
    if not is_single:
        attributes = {
            name: replace(attribute, type=usage.types.get(name) or guessed_type(name))
            for name, attribute in attributes.items()
        }
    nested = {
        name: _deferrable_block(inner, usage.blocks[name], is_in_list or not is_single)
        for name, inner in block.schema.blocks.items()
    }
    nesting = Nesting.SINGLE if is_single else Nesting.LIST
    return replace(block, schema=Schema(attributes, nested), nesting=nesting)


def _schema(usage: BlockUsage, attribute: Attribute, reserved: frozenset[str] = frozenset()) -> Schema:
    def usable(name: str) -> bool:
        return name not in reserved and _NAME.fullmatch(name) is not None

    # A name that is set as a block and read as an attribute is a block.
    return Schema(
        {name: attribute for name in sorted(usage.attributes) if usable(name) and name not in usage.blocks},
        {name: NestedBlock(_schema(block, attribute)) for name, block in sorted(usage.blocks.items()) if usable(name)},
    )


def _unknown_where_unset(blocks: Value) -> Value:
    """Return nested blocks with unset attributes unknown.

    Blocks with dynamic attributes are sent as a typed tuple, in which the type of an unset attribute is ``dynamic``.
    """
    split = split_dynamic(blocks)
    if split is None:
        return blocks
    type_, value = split
    return dynamic(type_, _filled(type_, value))


def _filled(type_: TypeExpression, value: Value) -> Value:
    if type_ == "dynamic":
        return UNKNOWN if value is None else value
    if not is_set(value):
        return value
    match type_:
        case ["tuple", elements]:
            return [_filled(inner, item) for inner, item in zip(elements, value, strict=True)]
        case ["object", members, *_]:
            return {name: _filled(members[name], item) for name, item in value.items()}
    return value
