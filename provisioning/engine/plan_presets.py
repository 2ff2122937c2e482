"""The presets of a plan: named sets of values for rich parameters. Those that no workspace could use are left out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from .base import Preset, RichParameter
from .plan_instances import Entry, read_entries
from .plan_values import Values
from .provider.parameter import value_fault

PRESET = "coder_workspace_preset"


def presets_of(
    plan_json: dict[str, Any], parameters: Sequence[RichParameter], warn: Callable[[str], None]
) -> tuple[Preset, ...]:
    """Return the presets of a plan's JSON in its order. ``warn`` is called for each one that is left out, with its name
    and the reason, and for each default but the first, which is then no default."""
    by_name = {parameter.name: parameter for parameter in parameters}
    found: dict[str, Preset] = {}
    for entry in _entries(plan_json):
        preset = _preset(entry)
        fault = next(_faults(preset, by_name), None)
        if preset.name in found:
            fault = "another preset has its name"
        if fault:
            warn(f'the preset "{preset.name}" is left out: {fault}')
            continue
        if preset.is_default and any(other.is_default for other in found.values()):
            warn(f'the preset "{preset.name}" is not the default, because an earlier one is')
            preset = replace(preset, is_default=False)
        found[preset.name] = preset
    return tuple(found.values())


def _entries(plan_json: dict[str, Any]) -> Iterator[Entry]:
    """Yield the data sources that are presets; those that were read during the plan are in the prior state."""
    prior = ((plan_json.get("prior_state") or {}).get("values") or {}).get("root_module") or {}
    planned = (plan_json.get("planned_values") or {}).get("root_module") or {}
    by_address = {
        entry.address: entry
        for root in (prior, planned)
        for entry in read_entries(root, reveal=False)
        if entry.mode == "data" and entry.type == PRESET
    }
    yield from by_address.values()


def _preset(entry: Entry) -> Preset:
    values = entry.values
    prebuilds: Values | None = next(values.blocks("prebuilds"), None)
    return Preset(
        name=values.text("name") or entry.name,
        parameters=values.texts("parameters"),
        is_default=values.boolean("default"),
        description=values.text("description"),
        icon=values.text("icon"),
        prebuilds=prebuilds.integer("instances") if prebuilds else None,
    )


def _faults(preset: Preset, by_name: dict[str, RichParameter]) -> Iterator[str]:
    for name, value in preset.parameters.items():
        parameter = by_name.get(name)
        if parameter is None:
            yield f'the template has no parameter "{name}"'
            continue
        fault = value_fault(_declaration(parameter), value)
        if fault:
            yield f'the value of the parameter "{name}" is invalid: {fault}'


def _declaration(parameter: RichParameter) -> dict[str, Any]:
    """Return a parameter as the provider knows it."""
    rules = {
        "regex": parameter.validation_regex or None,
        "error": parameter.validation_error or None,
        "min": parameter.validation_min,
        "max": parameter.validation_max,
    }
    return {
        "name": parameter.name,
        "type": parameter.type,
        "option": [{"name": option.name, "value": option.value} for option in parameter.options],
        "validation": [rules] if any(rule is not None for rule in rules.values()) else [],
    }
