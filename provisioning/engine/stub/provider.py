"""A provider without a schema of its own: it has whatever attributes and blocks the template uses.

Every attribute is dynamic, optional and computed. What a resource does not set is unknown at plan time, as
it would be for most computed attributes of the real provider; data sources answer with placeholders of the
shape in which the template looks into them. A template planned like this is unverified, and nothing of it
is ever applied.
"""

import re
from typing import Final

from provisioning.engine.provider.base import Object, Provider
from provisioning.engine.provider.diagnostics import Diagnostic, DiagnosticError
from provisioning.engine.provider.schema import Attribute, NestedBlock, Presence, Schema
from provisioning.engine.provider.values import UNKNOWN, TypeExpression, Value, dynamic, is_set, split_dynamic
from provisioning.engine.provider_usage import BlockUsage, Hints, ProviderUsage
from provisioning.engine.stub.placeholders import placeholder

# Terraform refuses a whole schema for one name outside this alphabet; such a name is an error of the
# template, which Terraform reports better.
_NAME: Final = re.compile(r"[a-z0-9_]+")
# Arguments that Terraform itself understands in every resource and data block, and those of a provider block.
_META_ARGUMENTS: Final = frozenset(
    {"count", "for_each", "depends_on", "provider", "lifecycle", "connection", "provisioner"}
)
_PROVIDER_META_ARGUMENTS: Final = frozenset({"alias", "version"})

_ANYTHING: Final = Attribute("dynamic", Presence.OPTIONAL_COMPUTED, replaces=False)
_SETTING: Final = Attribute("dynamic", Presence.OPTIONAL)
_ID: Final = Attribute("string", Presence.OPTIONAL_COMPUTED, replaces=False)


class StubProvider(Provider):
    """Answers for the provider that ``usage`` describes."""

    def __init__(self, usage: ProviderUsage) -> None:
        self.address = usage.address
        self.configuration = _schema(usage.configuration, _SETTING, _PROVIDER_META_ARGUMENTS)
        self.resources = {name: _top_level_schema(block) for name, block in usage.resources.items()}
        self.data_sources = {name: _top_level_schema(block) for name, block in usage.data_sources.items()}
        self._usage = usage

    def plan(self, type_name: str, proposed: Object) -> Object:
        planned = super().plan(type_name, proposed)
        for name in self.resources[type_name].blocks:
            planned[name] = _unknown_where_unset(planned.get(name))
        return planned

    def apply(self, type_name: str, planned: Object) -> Object:
        raise self._refusal(type_name)

    def destroy(self, type_name: str) -> None:
        raise self._refusal(type_name)

    def read_data_source(self, type_name: str, config: Object) -> Object:
        hints = _hints(self._usage.data_sources[type_name], config)
        state = dict(config)
        for name, attribute in self.data_sources[type_name].attributes.items():
            if state.get(name) is not None:
                continue
            if attribute is _ID:
                state[name] = f"stub-{type_name}"
            else:
                state[name] = dynamic(*placeholder(hints.get(name, {})))
        return state

    def _refusal(self, type_name: str) -> DiagnosticError:
        return DiagnosticError(
            Diagnostic(
                "Unverified template",
                f"The provider {self.address} of {type_name} could not be installed, so this template is "
                "unverified. An unverified template is never applied.",
            )
        )


def _hints(usage: BlockUsage, config: Object) -> Hints:
    """How a template looks into the data source with this configuration, of those of its type."""
    given = {name: split[1] for name, value in config.items() if (split := split_dynamic(value)) is not None}
    fitting = BlockUsage()
    for variant in usage.variants:
        if all(given.get(name) == value for name, value in variant.constants.items() if name in given):
            fitting.merge(variant.usage)
    return fitting.hints or usage.hints


def _top_level_schema(usage: BlockUsage) -> Schema:
    schema = _schema(usage, _ANYTHING, _META_ARGUMENTS)
    blocks = {name: block for name, block in schema.blocks.items() if name != "id"}
    return Schema({**schema.attributes, "id": _ID}, blocks)


def _schema(usage: BlockUsage, attribute: Attribute, reserved: frozenset[str] = frozenset()) -> Schema:
    def usable(name: str) -> bool:
        return name not in reserved and _NAME.fullmatch(name) is not None

    # A name that is written as a block and read like an attribute is a block.
    return Schema(
        {name: attribute for name in sorted(usage.attributes) if usable(name) and name not in usage.blocks},
        {name: NestedBlock(_schema(block, attribute)) for name, block in sorted(usage.blocks.items()) if usable(name)},
    )


def _unknown_where_unset(blocks: Value) -> Value:
    """Nested blocks with their unset attributes unknown.

    Blocks with dynamic attributes travel as a tuple with its own type, in which the type of an unset
    attribute is ``dynamic`` still.
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
