"""The rules of ``coder_parameter``: valid declarations and valid values.

These are the documented rules of the provider's current series. Where the 0.6 series is stricter it is not followed:
options can be combined with a default and with a validation, and one bound of a number can be set without the other.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Final

from provisioning.engine.base import RichParameter, RichParameterOption
from provisioning.engine.provider.base import Object
from provisioning.engine.provider.diagnostics import AttributePath, Diagnostic
from provisioning.engine.provider.patterns import UndecidedError, compile_pattern, matches
from provisioning.engine.provider.values import UNKNOWN, Value, is_set

_BOOLEANS: Final = frozenset({"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"})
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER: Final = re.compile(r"[+-]?\d{1,19}", re.ASCII)

MULTIPLE_CHOICE: Final = "multi-select"
MAX_LISTED_CHOICES: Final = 20

# For each form type the types of parameters, and whether it needs options or excludes them.
_FORM_TYPES: Final = {
    "radio": (("string", "number", "bool", "list(string)"), True),
    "dropdown": (("string", "number", "bool"), True),
    MULTIPLE_CHOICE: (("list(string)",), True),
    "tag-select": (("list(string)",), False),
    "input": (("string", "number"), False),
    "textarea": (("string",), False),
    "slider": (("number",), False),
    "checkbox": (("bool",), False),
    "switch": (("bool",), False),
}


def declaration_faults(config: Object) -> Iterator[Diagnostic]:
    """Yield the errors in a parameter's block, independent of its value. Attributes can be UNKNOWN."""
    report = _reporter(config)
    type_ = _type(config)
    options = _known_blocks(config, "option")
    validations = _known_blocks(config, "validation")
    if type_ is UNKNOWN:
        return
    if config.get("ephemeral") is True and not _is_mutable(config):
        yield report("an ephemeral parameter must be mutable.", ("ephemeral",))
    form_type = config.get("form_type")
    if is_set(form_type) and form_type in _FORM_TYPES and isinstance(config.get("option"), list | None):
        types, has_options = _FORM_TYPES[form_type]
        if type_ not in types:
            yield report(f"the form type {form_type} cannot be used for the type {type_}.", ("form_type",))
        elif has_options is not bool(options):
            needs = "needs options" if has_options else "cannot have options"
            yield report(f"the form type {form_type} {needs}.", ("form_type",))
    option_type = "string" if config.get("form_type") == MULTIPLE_CHOICE else type_
    for what in ("name", "value"):
        seen: set[str] = set()
        for index, option in options:
            text = option.get(what)
            if not is_set(text):
                continue
            if text in seen:
                yield report(f'more than one option has the {what} "{text}".', ("option", index, what))
            seen.add(text)
            fault = type_fault(option_type, text) if what == "value" else None
            if fault:
                yield report(f"the value of an option {fault}.", ("option", index, "value"))
    rule_faults = [fault for index, rules in validations for fault in _rule_faults(report, type_, rules, index)]
    yield from rule_faults
    default = config.get("default")
    # Without a choice, an empty default means that no option is selected.
    if is_set(default) and not rule_faults and not (options and default == ""):
        fault = value_fault(config, default)
        if fault:
            yield report(f"the default {fault}.", ("default",))


def given_value_faults(config: Object, value: str) -> Iterator[Diagnostic]:
    """Yield the errors in a value that was chosen for a parameter. The default was checked with the declaration."""
    if value == config.get("default"):
        return
    fault = value_fault(config, value)
    if fault:
        yield _reporter(config)(f"the given value {fault}.", ())


def value_fault(config: Object, value: str) -> str | None:
    """Return why a value is invalid for a parameter, or None. The text completes "the value …"."""
    type_ = _type(config)
    fault = type_fault(type_, value)
    if fault:
        return fault
    options = _known_blocks(config, "option")
    if options:
        choices: list[Value] = [option.get("value") for _, option in options]
        if UNKNOWN not in choices and not _is_choice(config, value, choices):
            return f'"{value}" is not one of the options\' values ({_listed(choices)})'
    for _, rules in _known_blocks(config, "validation"):
        fault = _validation_fault(type_, rules, value)
        if fault:
            return fault
    return None


def type_fault(type_: str, value: str) -> str | None:
    """Return why a text is not a value of a type, or None."""
    if type_ == "number" and not _NUMBER.fullmatch(value):
        return f'"{value}" is not a number'
    if type_ == "bool" and value not in _BOOLEANS:
        return f'"{value}" is not a bool'
    if type_ == "list(string)" and _strings(value) is None:
        return f'"{value}" is not a JSON array of strings'
    return None


def rich_parameter(config: Object) -> RichParameter:
    """Convert a fully known block to a RichParameter."""
    rules = next((rules for _, rules in _known_blocks(config, "validation")), {})
    return RichParameter(
        name=config["name"],
        type=config["type"],
        description=config.get("description") or "",
        mutable=bool(config.get("mutable")),
        default_value=config.get("default"),
        icon=config.get("icon") or "",
        options=tuple(
            RichParameterOption(
                name=option["name"],
                value=option["value"],
                description=option.get("description") or "",
                icon=option.get("icon") or "",
            )
            for _, option in _known_blocks(config, "option")
        ),
        validation_regex=rules.get("regex") or "",
        validation_error=rules.get("error") or "",
        validation_min=rules.get("min"),
        validation_max=rules.get("max"),
        validation_monotonic=rules.get("monotonic") or "",
        ephemeral=bool(config.get("ephemeral")),
    )


def _reporter(config: Object) -> Callable[[str, AttributePath], Diagnostic]:
    """Return a function that builds diagnostics. Both summary and detail name the parameter: logs separate them."""
    name = config.get("name")
    label = f'parameter "{name}"' if is_set(name) else "parameter"

    def report(fault: str, path: AttributePath) -> Diagnostic:
        return Diagnostic(f"Invalid {label}", f"{label[0].upper()}{label[1:]}: {fault}", path)

    return report


def _rule_faults(
    report: Callable[[str, AttributePath], Diagnostic], type_: str, rules: Object, index: int
) -> Iterator[Diagnostic]:
    path = ("validation", index)
    for name in ("min", "max", "monotonic"):
        if rules.get(name) is not None and type_ != "number":
            yield report(f"{name} cannot be set for the type {type_}, only for numbers.", (*path, name))
    low, high = rules.get("min"), rules.get("max")
    if isinstance(low, int) and isinstance(high, int) and low > high:
        yield report(f"the minimum {low} is greater than the maximum {high}.", (*path, "min"))
    pattern = rules.get("regex")
    if pattern is None or pattern == "":
        return
    if type_ != "string":
        yield report(f"regex cannot be set for the type {type_}, only for strings.", (*path, "regex"))
    if rules.get("error") is None or rules.get("error") == "":
        yield report("a regex needs an error message for values that do not match.", (*path, "regex"))
    if pattern is not UNKNOWN:
        try:
            compile_pattern(pattern)
        except ValueError as error:
            yield report(f'the regex "{pattern}" is invalid: {error}.', (*path, "regex"))


def _validation_fault(type_: str, rules: Object, value: str) -> str | None:
    pattern = rules.get("regex")
    if type_ == "string" and is_set(pattern) and pattern:
        try:
            is_found = matches(pattern, value)
        except (UndecidedError, ValueError) as error:
            return f"cannot be checked: {error}"
        if not is_found:
            message = rules.get("error")
            reason = f": {message}" if is_set(message) else ""
            return f'"{value}" does not match "{pattern}"{reason}'
    elif type_ == "number":
        if not _INTEGER.fullmatch(value):
            return f'"{value}" is not a whole number'
        low, high = rules.get("min"), rules.get("max")
        if isinstance(low, int) and int(value) < low:
            return f"{int(value)} is less than the minimum {low}"
        if isinstance(high, int) and int(value) > high:
            return f"{int(value)} is more than the maximum {high}"
    return None


def _type(config: Object) -> Value:
    """Return the type's name. Blocks are validated before defaults are added, so it can be missing."""
    type_ = config.get("type")
    return "string" if type_ is None else type_


def _is_mutable(config: Object) -> bool:
    """Return True if the parameter is mutable, or can be: the value is not known yet."""
    mutable = config.get("mutable")
    return mutable is UNKNOWN or bool(mutable)


def _listed(choices: list[str]) -> str:
    hidden = len(choices) - MAX_LISTED_CHOICES
    shown = ", ".join(choices[:MAX_LISTED_CHOICES])
    return f"{shown}, … and {hidden} more" if hidden > 0 else shown


def _is_choice(config: Object, value: str, choices: list[Value]) -> bool:
    if config.get("form_type") == MULTIPLE_CHOICE:
        return all(item in choices for item in _strings(value) or ())
    return value in choices


def _strings(value: str) -> list[str] | None:
    try:
        items = json.loads(value)
    except (ValueError, RecursionError):  # nested too deeply
        return None
    if isinstance(items, list) and all(isinstance(item, str) for item in items):
        return items
    return None


def _known_blocks(config: Object, name: str) -> list[tuple[int, Object]]:
    blocks = config.get(name)
    if not isinstance(blocks, list):
        return []
    return [(index, block) for index, block in enumerate(blocks) if isinstance(block, dict)]
