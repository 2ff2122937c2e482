"""Values that stubs made up: they are never checked and never shown as a choice."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from provisioning.engine.base import RichParameter
from provisioning.engine.provider.base import Object
from provisioning.engine.provider.values import UNKNOWN, Value

# Parts of the texts that stubs make up: how all of them start in base64, and the ids of data sources.
PLACEHOLDER_SIGNS: Final = ("c3R1Y", "stub-")

# Fields of a RichParameter by argument, and what they are without a made-up value.
_FIELDS: Final[Mapping[str, Mapping[str, Value]]] = {
    "default": {"default_value": ""},
    "option": {"options": ()},
    "icon": {"icon": ""},
    "type": {"type": "string"},
    "validation": {
        "validation_regex": "",
        "validation_error": "",
        "validation_min": None,
        "validation_max": None,
        "validation_monotonic": "",
    },
}
MAX_NAMED_SOURCES: Final = 3
_LABELS: Final = {"default": "default", "option": "options", "validation": "validation"}


@dataclass(frozen=True, slots=True)
class MadeUp:
    """The arguments of ``coder_parameter`` that stubs made up.

    ``by_name`` has the arguments of each parameter with a constant name, ``others`` those of all other parameters: for
    each argument the providers and modules that stubs replace. ``has_stubs`` is False if there are no stubs.
    """

    by_name: Mapping[str, Mapping[str, Collection[str]]] = field(default_factory=dict)
    others: Mapping[str, Collection[str]] = field(default_factory=dict)
    has_stubs: bool = False

    def arguments(self, name: Value) -> Mapping[str, Collection[str]]:
        """Return the made-up arguments of the parameter with this name."""
        return self.by_name.get(name, self.others) if isinstance(name, str) else self.others

    def without_guesses(self, config: Object, *, is_parameter: bool = False) -> Object:
        """Return a block in which made-up values are UNKNOWN, so that they are not checked."""
        if not self.has_stubs:
            return config
        names = self.arguments(config.get("name")) if is_parameter else {}
        return {name: UNKNOWN if name in names else _without_placeholders(value) for name, value in config.items()}

    def shown(self, parameter: RichParameter) -> RichParameter:
        """Return a parameter without made-up values; its description says when they are known."""
        names = self.arguments(parameter.name)
        fields = {key: value for name in names for key, value in _FIELDS.get(name, {}).items()}
        if "default" in names and parameter.default_value is None:
            fields.pop("default_value")
        labels = {name: label for name, label in _LABELS.items() if name in names}
        if labels:
            sources = sorted({source for name in labels for source in names[name]})[:MAX_NAMED_SOURCES]
            what = ", ".join(labels.values()).capitalize()
            note = f"({what}: known when {' and '.join(sources)} {'is' if len(sources) == 1 else 'are'} available.)"
            fields["description"] = f"{parameter.description}\n\n{note}".strip()
        return replace(parameter, **fields)


def _without_placeholders(value: Value) -> Value:
    if isinstance(value, str):
        return UNKNOWN if any(sign in value for sign in PLACEHOLDER_SIGNS) else value
    if isinstance(value, list):
        return [_without_placeholders(item) for item in value]
    if isinstance(value, dict):
        return {name: _without_placeholders(item) for name, item in value.items()}
    return value
