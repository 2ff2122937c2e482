"""The parameters of a version as a form: what developers are asked, and whether an answer will do.

The rules are those of the engine, which has the last word when the values are planned with.
"""

import json
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from provisioning import parameters
from provisioning.engine.provider.parameter import MULTIPLE_CHOICE, value_fault
from provisioning.engine.provider.pattern_search import SECONDS, UndecidedError, matches
from provisioning.models import ParameterSchema
from templates_app.models import RichParameter, TemplateVersion
from templates_app.services.versions import DryRunInput

TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
MAX_VALUE_CHARACTERS = 64 * 1024
# For all patterns of a form together: a template may have any number of slow ones.
PATTERN_SECONDS = 4
REQUIRED = "This has no default: give it a value."
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Submitted(Protocol):
    """A submitted form, as Django gives it."""

    def get(self, key: str, default: Any = None, /) -> Any: ...
    def getlist(self, key: str) -> list[Any]: ...
    def __contains__(self, key: object, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """A value to choose, with what is said about it."""

    name: str
    value: str
    description: str = ""
    icon: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """A question of the form. ``kind`` is how it is asked: ``choice``, ``cards`` (a choice with explanations),
    ``several`` (of the choices), ``switch``, ``lines`` (a list of texts), ``text``, ``long`` or ``secret``.

    ``default`` is None where there is none: then a value is required. ``limits`` and ``mutable`` are words for people.
    A secret has no default here, however the variable has one (``is_set``).
    """

    key: str
    id: str
    name: str
    kind: str
    type: str
    default: str | None
    description: str = ""
    icon: str = ""
    choices: tuple[Choice, ...] = ()
    limits: str = ""
    mutable: bool = True
    is_variable: bool = False
    is_set: bool = False
    rules: Mapping[str, Any] | None = None

    @property
    def is_secret(self) -> bool:
        return self.kind == "secret"

    @property
    def is_required(self) -> bool:
        return self.default is None and not self.is_set

    @property
    def allowed(self) -> list[str]:
        return [choice.value for choice in self.choices]


@dataclass(frozen=True, slots=True)
class Answer:
    """A field with its value and what is wrong with that. ``value`` is None where nothing was given and there is no
    default. ``given`` says that it differs from what would be used anyway."""

    field: Field
    value: str | None
    error: str = ""
    given: bool = False

    @property
    def lines(self) -> str:
        """A list of texts, one on each line."""
        return "\n".join(self.chosen) if _texts(self.value) is not None else self.value or ""

    @property
    def chosen(self) -> list[str]:
        return _texts(self.value) or []

    @property
    def is_on(self) -> bool:
        return self.value in TRUE

    @property
    def shown(self) -> str:
        """The value as the preview writes it. Secrets are never shown."""
        if self.field.is_secret:
            return "(secret)" if self.given else "(set)" if self.field.is_set else ""
        if self.value is None:
            return ""
        structured = self.field.type not in {"string", ""} and self.value
        return self.value if structured else json.dumps(self.value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Answers:
    """All fields with their values."""

    answers: tuple[Answer, ...]

    @property
    def errors(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.error]

    @property
    def missing(self) -> list[Answer]:
        """Required fields without a value."""
        return [answer for answer in self.answers if answer.field.is_required and answer.value is None]

    @property
    def rich(self) -> list[Answer]:
        return [answer for answer in self.answers if not answer.field.is_variable]

    @property
    def variables(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.field.is_variable]

    def dry_run_input(self) -> DryRunInput:
        """The values to plan with: all of rich parameters, and of variables those that were changed."""
        return DryRunInput(
            values={row.field.name: row.value for row in self.variables if row.given and row.value is not None},
            rich_values={row.field.name: row.value for row in self.rich if row.value is not None},
        )


# ---------------------------------------------------------------------- asking
def fields_of(version: TemplateVersion) -> list[Field]:
    """What a developer is asked: the rich parameters, and the variables that may be overridden. Three queries."""
    rich = [_rich_field(number, row) for number, row in enumerate(version.rich_parameters.order_by("index"))]
    return [*rich, *_variable_fields(version.job_id, version.template_id)]


def initial(fields: Sequence[Field]) -> Answers:
    """The form as it is first shown: with the defaults."""
    return Answers(tuple(Answer(field, field.default) for field in fields))


def answers_of(fields: Sequence[Field], submitted: Submitted, *, complete: bool) -> Answers:
    """What was submitted, checked. Fields that are still empty are only wrong when the form is ``complete``."""
    deadline = time.monotonic() + PATTERN_SECONDS
    return Answers(
        tuple(_answer(field, _value_of(field, submitted), complete=complete, deadline=deadline) for field in fields)
    )


def _rich_field(number: int, row: RichParameter) -> Field:
    choices = tuple(
        Choice(
            name=str(option.get("name") or option.get("value", "")),
            value=str(option.get("value", "")),
            description=str(option.get("description") or ""),
            icon=str(option.get("icon") or ""),
        )
        for option in row.options
    )
    bounded = row.type == "number" and (
        row.validation_min is not None or row.validation_max is not None or row.validation_monotonic
    )
    bounds = {"min": row.validation_min, "max": row.validation_max} if bounded else {}
    several = row.type == "list(string)" and any(_texts(choice.value) is None for choice in choices)
    return Field(
        key=f"parameter.{row.name}",
        id=f"parameter-{number}",
        name=row.name,
        kind=_kind(row, choices, several=several),
        type=row.type,
        default=row.default_value,
        description=row.description,
        icon=row.icon,
        choices=choices,
        limits=_limits(row),
        mutable=row.mutable,
        rules={
            "type": row.type,
            "form_type": MULTIPLE_CHOICE if several else None,
            "option": row.options,
            "validation": [bounds] if bounds else [],
            "regex": row.validation_regex,
            "error": row.validation_error,
        },
    )


def _kind(row: RichParameter, choices: tuple[Choice, ...], *, several: bool) -> str:
    if several:
        return "several"
    if choices:
        return "cards" if any(choice.description or choice.icon for choice in choices) else "choice"
    if row.type == "bool":
        return "switch"
    if row.type == "list(string)":
        return "lines"
    return "long" if "\n" in (row.default_value or "") else "text"


def _limits(row: RichParameter) -> str:
    """The bounds of a number in words, and which way it may change later."""
    low, high = row.validation_min, row.validation_max
    bounds = ""
    if low is not None and high is not None:
        bounds = f"From {low} to {high}."
    elif low is not None:
        bounds = f"At least {low}."
    elif high is not None:
        bounds = f"At most {high}."
    later = {"increasing": "It can grow later, never shrink.", "decreasing": "It can shrink later, never grow."}
    return " ".join(filter(None, (bounds, later.get(row.validation_monotonic, ""))))


def _variable_fields(job_id: uuid.UUID, template_id: uuid.UUID | None) -> list[Field]:
    schemas = list(ParameterSchema.objects.filter(job_id=job_id).order_by("index"))
    computed = {value.name: value for value in parameters.compute(job_id, template_id=template_id)} if schemas else {}
    fields = []
    for number, schema in enumerate(schemas):
        value = computed.get(schema.name)
        if value is not None and not schema.allow_override_source:
            continue
        secret = not schema.redisplay_value
        fields.append(
            Field(
                key=f"variable.{schema.name}",
                id=f"variable-{number}",
                name=schema.name,
                kind="secret" if secret else _variable_kind(schema, value.source_value if value else ""),
                type=schema.validation_value_type,
                default=value.source_value if value and not secret else None,
                description=schema.description,
                choices=tuple(Choice(text, text) for text in schema.validation_contains or ()),
                limits=schema.validation_error,
                is_variable=True,
                is_set=value is not None,
            )
        )
    return fields


def _variable_kind(schema: ParameterSchema, value: str) -> str:
    if schema.validation_contains:
        return "choice"
    if schema.validation_value_type == "bool":
        return "switch"
    return "long" if "\n" in value else "text"


# ---------------------------------------------------------------------- answering
def _value_of(field: Field, submitted: Submitted) -> str | None:
    """The value as the engine takes it; None for a field that was left empty without a default."""
    if field.kind == "switch":
        return "true" if submitted.get(field.key) else "false"
    if field.kind == "several":
        return json.dumps([str(text) for text in submitted.getlist(field.key)], ensure_ascii=False)
    text = submitted.get(field.key)
    if text is None:
        return field.default
    text = str(text).replace("\r\n", "\n")
    if field.kind == "lines":
        return json.dumps([line.strip() for line in text.split("\n") if line.strip()], ensure_ascii=False)
    # An empty text is a value only where it replaces another one.
    return None if not text and (field.default is None or field.is_secret) else text


def _answer(field: Field, value: str | None, *, complete: bool, deadline: float) -> Answer:
    given = value is not None and not _same(field, value)
    if value is None:
        return Answer(field, None, REQUIRED if complete and field.is_required else "")
    return Answer(field, value, _fault(field, value, deadline), given)


def _same(field: Field, value: str) -> bool:
    if field.kind == "switch" and field.default is not None:
        return (field.default in TRUE) == (value in TRUE)
    return value == field.default


def _fault(field: Field, value: str, deadline: float) -> str:
    """What is wrong with a value, as a sentence, or nothing. After the deadline no pattern is tried any more."""
    if "\0" in value:
        return "It has a NUL character."
    if len(value) > MAX_VALUE_CHARACTERS:
        return f"It is longer than {MAX_VALUE_CHARACTERS} characters."
    return _variable_fault(field, value) if field.rules is None else _rich_fault(field.rules, value, deadline)


def _rich_fault(rules: Mapping[str, Any], value: str, deadline: float) -> str:
    fault = value_fault(dict(rules), value)
    if fault:
        return " ".join(filter(None, (f"{fault[0].upper()}{fault[1:]}.", rules["error"])))
    if rules["type"] == "string" and rules["regex"] and not rules["option"]:
        try:
            if not matches(rules["regex"], value, seconds=min(deadline - time.monotonic(), SECONDS)):
                return rules["error"] or f"It does not match {rules['regex']}."
        except (UndecidedError, ValueError) as error:
            return f"It cannot be checked: {error}."
    return ""


def _variable_fault(field: Field, value: str) -> str:
    if field.choices and value not in field.allowed:
        return "Choose one of the values."
    if field.type == "number" and not _NUMBER.fullmatch(value):
        return f"{json.dumps(value, ensure_ascii=False)} is not a number."
    return ""


def _texts(value: str | None) -> list[str] | None:
    """The texts of a JSON array, or None for anything else."""
    try:
        items = json.loads(value or "")
    except ValueError:
        return None
    if isinstance(items, list) and all(isinstance(item, str) for item in items):
        return items
    return None
