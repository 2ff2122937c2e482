"""The parameters of a version as a form: its fields, and the validation of submitted values.

The rules are those of the engine, which checks the values again in the plan.
"""

import json
import re
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from provisioning import parameters
from provisioning.engine.provider.parameter import MULTIPLE_CHOICE, value_fault
from provisioning.engine.provider.patterns import UndecidedError, matches
from provisioning.models import ParameterSchema
from templates_app.models import RichParameter, TemplateVersion
from templates_app.services.versions import DryRunInput

TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
MAX_VALUE_CHARACTERS = 64 * 1024
# For all patterns of a form together: a template can have any number of large patterns.
PATTERN_SECONDS = 2.0
# A page shows no more: rendering thousands of fields would keep the web server busy.
MAX_SHOWN = 200
REQUIRED = "This parameter has no default. Enter a value."
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Submitted(Protocol):
    """A submitted form, such as Django's QueryDict."""

    def get(self, key: str, default: Any = None, /) -> Any: ...
    def getlist(self, key: str) -> list[Any]: ...
    def __contains__(self, key: object, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """A selectable value with its name and description."""

    name: str
    value: str
    description: str = ""
    icon: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the form. ``kind`` selects the widget: ``choice``, ``cards`` (a choice with descriptions), ``several``
    (multiple choices), ``switch``, ``lines`` (a list of strings), ``text``, ``long`` (text of several lines) or
    ``secret``.

    Without a ``default`` (None) a value is required. ``limits`` is shown to users. For a secret ``default`` is always
    None; ``is_set`` is True if the variable has a value. The value of an ``ephemeral`` parameter is only for one build;
    a ``locked`` one can no longer be changed.
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
    ephemeral: bool = False
    locked: bool = False
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
    """A field with its value and the error in it. ``value`` is None if nothing was submitted and there is no default.
    ``given`` is True if the value differs from the default."""

    field: Field
    value: str | None
    error: str = ""
    given: bool = False

    @property
    def lines(self) -> str:
        """A list of strings, one per line."""
        return "\n".join(self.chosen) if _strings(self.value) is not None else self.value or ""

    @property
    def chosen(self) -> list[str]:
        return _strings(self.value) or []

    @property
    def is_on(self) -> bool:
        return self.value in TRUE

    @property
    def shown(self) -> str:
        """The value as the preview shows it. Secrets are never shown."""
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
        """Return the values to plan with: those of all rich parameters, and of the variables that were changed."""
        return DryRunInput(
            values={row.field.name: row.value for row in self.variables if row.given and row.value is not None},
            rich_values={row.field.name: row.value for row in self.rich if row.value is not None},
        )


# ---------------------------------------------------------------------- fields
def fields_of(version: TemplateVersion) -> list[Field]:
    """Return the fields: the rich parameters, and the variables that may be overridden. Runs three queries."""
    rich = rich_fields(version.rich_parameters.order_by("index"))
    return [*rich, *variable_fields(version.job_id, version.template_id)]


def shown_of(fields: Sequence[Field]) -> Sequence[Field]:
    """Return the fields that a page shows, in their order: those that need a value before those with a default. The
    others keep their defaults."""
    if len(fields) <= MAX_SHOWN:
        return fields
    by_need = sorted(range(len(fields)), key=lambda index: not fields[index].is_required)
    return [fields[index] for index in sorted(by_need[:MAX_SHOWN])]


def rich_fields(rows: Iterable[RichParameter]) -> list[Field]:
    return [_rich_field(number, row) for number, row in enumerate(rows)]


def initial(fields: Sequence[Field]) -> Answers:
    """Return the initial form, with the defaults."""
    return Answers(tuple(Answer(field, field.default) for field in fields))


def answers_of(fields: Sequence[Field], submitted: Submitted, *, complete: bool) -> Answers:
    """Validate submitted values. Missing values are errors only when the form is ``complete``."""
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
    several = row.type == "list(string)" and any(_strings(choice.value) is None for choice in choices)
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
        limits=limits_of(row),
        mutable=row.mutable,
        ephemeral=row.ephemeral,
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


def limits_of(row: RichParameter, value: str = "") -> str:
    """Return a sentence with the bounds of a number, and the direction in which it may change later; or now, with the
    value that it has now."""
    low, high = row.validation_min, row.validation_max
    bounds = ""
    if low is not None and high is not None:
        bounds = f"From {low} to {high}."
    elif low is not None:
        bounds = f"At least {low}."
    elif high is not None:
        bounds = f"At most {high}."
    verb = {"increasing": "increase", "decreasing": "decrease"}.get(row.validation_monotonic)
    now_or_later = f"It is {value} now and can only {verb}." if value else f"It can only {verb} later."
    return " ".join(filter(None, (bounds, now_or_later if verb else "")))


def variable_fields(
    job_id: uuid.UUID, template_id: uuid.UUID | None, given: Mapping[str, str] | None = None
) -> list[Field]:
    """Return the fields of the variables that may be overridden; ``given`` are the values that a workspace has. Runs at
    most three queries."""
    schemas = list(ParameterSchema.objects.filter(job_id=job_id).order_by("index"))
    computed = parameters.compute(job_id, template_id=template_id) if schemas else []
    values = {value.name: value.source_value for value in computed}
    own = given or {}
    fields = []
    for number, schema in enumerate(schemas):
        name = schema.name
        if name in values and not schema.allow_override_source:
            continue
        value = own.get(name, values.get(name))
        secret = not schema.redisplay_value
        fields.append(
            Field(
                key=f"variable.{schema.name}",
                id=f"variable-{number}",
                name=schema.name,
                kind="secret" if secret else _variable_kind(schema, value or ""),
                type=schema.validation_value_type,
                default=None if secret else value,
                description=schema.description,
                choices=tuple(Choice(text, text) for text in schema.validation_contains or ()),
                limits=schema.validation_error,
                is_variable=True,
                is_set=value is not None or schema.default_is_null,
            )
        )
    return fields


def _variable_kind(schema: ParameterSchema, value: str) -> str:
    if schema.validation_contains:
        return "choice"
    if schema.validation_value_type == "bool":
        return "switch"
    return "long" if "\n" in value else "text"


# ---------------------------------------------------------------------- values
def _value_of(field: Field, submitted: Submitted) -> str | None:
    """Return the value in the engine's notation; None for an empty field without a default."""
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
    # An empty text is a value only if it replaces a default.
    return None if not text and (field.default is None or field.is_secret) else text


def _answer(field: Field, value: str | None, *, complete: bool, deadline: float) -> Answer:
    given = value is not None and not _same(field, value)
    if value is None:
        return Answer(field, None, REQUIRED if complete and field.is_required else "")
    return Answer(field, value, value_error(field, value, deadline), given)


def _same(field: Field, value: str) -> bool:
    if field.kind == "switch" and field.default is not None:
        return (field.default in TRUE) == (value in TRUE)
    return value == field.default


def value_error(field: Field, value: str, deadline: float) -> str:
    """Return the error in a value as a sentence, or "". After the deadline, patterns are no longer checked."""
    if "\0" in value:
        return "The value contains a NUL character."
    if len(value) > MAX_VALUE_CHARACTERS:
        return f"The value is longer than {MAX_VALUE_CHARACTERS} characters."
    return _variable_error(field, value) if field.rules is None else _rich_error(field.rules, value, deadline)


def _rich_error(rules: Mapping[str, Any], value: str, deadline: float) -> str:
    fault = value_fault(dict(rules), value)
    if fault:
        return " ".join(filter(None, (f"{fault[0].upper()}{fault[1:]}.", rules["error"])))
    if rules["type"] == "string" and rules["regex"] and not rules["option"]:
        if time.monotonic() > deadline:
            return "The value cannot be checked: the patterns of the other parameters take too long."
        try:
            if not matches(rules["regex"], value):
                return rules["error"] or f"The value does not match {rules['regex']}."
        except (UndecidedError, ValueError) as error:
            return f"The value cannot be checked: {error}."
    return ""


def _variable_error(field: Field, value: str) -> str:
    if field.choices and value not in field.allowed:
        return "Choose one of the values."
    if field.type == "number" and not _NUMBER.fullmatch(value):
        return f"{json.dumps(value, ensure_ascii=False)} is not a number."
    return ""


def _strings(value: str | None) -> list[str] | None:
    """Return the strings of a JSON array of strings; None for other values."""
    try:
        items = json.loads(value or "")
    except (ValueError, RecursionError):  # nested too deeply
        return None
    if isinstance(items, list) and all(isinstance(item, str) for item in items):
        return items
    return None
