"""``variable`` blocks as parameter schemas, and literal ``coder_parameter`` blocks as rich parameters."""

import json
from collections.abc import Iterable
from typing import Any

from provisioning.engine.base import ParameterSchema, RichParameter, RichParameterOption

from .literals import as_text
from .problems import Problem
from .syntax import Block, Body, Expression, NotConstantError

PARAMETER_TYPE = "coder_parameter"


def variable_schema(block: Block, problems: list[Problem]) -> ParameterSchema:
    """Return the schema of one variable. Attributes that cannot be read are added to ``problems``."""
    reader = _Reader(block, problems)
    validations = block.body.blocks_of("validation")
    condition = validations[0].body.attributes.get("condition") if validations else None
    default = reader.constant("default", None)
    is_nullable = reader.constant("nullable", True) not in (False, "false")
    return ParameterSchema(
        name=block.labels[0],
        description=reader.text("description"),
        default_source_value=None if default is None else default_text(default),
        sensitive=reader.constant("sensitive", False) in (True, "true"),
        validation_error=_error_message(validations[0].body) if validations else "",
        validation_condition=condition.text if condition is not None else "",
        validation_value_type=_type_text(block.body.attributes.get("type")),
        default_is_null=default is None and "default" in block.body.attributes and is_nullable,
    )


def default_text(value: Any) -> str:
    """Return a default as text: strings verbatim, everything else as compact JSON with sorted keys."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _type_text(expression: Expression | None) -> str:
    if expression is None:
        return ""
    text = expression.text
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _error_message(body: Body) -> str:
    expression = body.attributes.get("error_message")
    if expression is None:
        return ""
    try:
        return as_text(expression.constant())
    except NotConstantError:
        # Newer Terraform versions let the message refer to values. Its source is then the best available text.
        return _type_text(expression)


class _Reader:
    """Reads constants of a block and collects failures as problems."""

    def __init__(self, block: Block, problems: list[Problem]) -> None:
        self.block = block
        self.problems = problems

    def constant(self, name: str, default: Any) -> Any:
        try:
            return self.block.body.constant(name, default)
        except NotConstantError as error:
            location = self.block.body.attributes[name].location
            summary = f'The {name} of {self.block.type} "{self.block.labels[0]}" must be a constant: {error}'
            self.problems.append(Problem(summary, location))
            return default

    def text(self, name: str) -> str:
        value = self.constant(name, "")
        return value if isinstance(value, str) else "" if value is None else default_text(value)


def literal_parameters(blocks: Iterable[Block]) -> tuple[RichParameter, ...]:
    """Return the ``coder_parameter`` data sources whose fields are all constants, in the given order."""
    found = []
    for block in blocks:
        if block.type == "data" and block.labels[0] == PARAMETER_TYPE:
            if {"count", "for_each"} & block.body.attributes.keys():
                continue
            try:
                found.append(_rich_parameter(block.body))
            except (NotConstantError, TypeError, ValueError):
                continue
    return tuple(found)


def _rich_parameter(body: Body) -> RichParameter:
    default = body.constant("default")
    options = tuple(_option(block.body) for block in body.blocks_of("option"))
    validations = body.blocks_of("validation")
    rules = validations[0].body if len(validations) == 1 else Body()
    return RichParameter(
        name=_text(body, "name"),
        type=_text(body, "type", "string"),
        description=_text(body, "description"),
        mutable=body.constant("mutable", False) in (True, "true"),
        default_value=None if default is None else as_text(default),
        icon=_text(body, "icon"),
        options=options,
        validation_regex=_text(rules, "regex"),
        validation_error=_text(rules, "error"),
        validation_min=_integer(rules, "min"),
        validation_max=_integer(rules, "max"),
        validation_monotonic=_text(rules, "monotonic"),
        ephemeral=body.constant("ephemeral", False) in (True, "true"),
    )


def _option(body: Body) -> RichParameterOption:
    return RichParameterOption(
        name=_text(body, "name"),
        value=_text(body, "value"),
        description=_text(body, "description"),
        icon=_text(body, "icon"),
    )


def _text(body: Body, name: str, default: str = "") -> str:
    value = body.constant(name)
    return default if value is None else as_text(value)


def _integer(body: Body, name: str) -> int | None:
    value = body.constant(name)
    return None if value is None else int(value)
