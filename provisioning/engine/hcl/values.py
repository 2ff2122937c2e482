"""Values of variables: in variable files (``terraform.tfvars``), and single expressions."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from provisioning.engine.base import EngineError, ParameterSchema

from .json_syntax import JsonDocument
from .native import NativeDocument
from .problems import Location, Problem, TemplateSyntaxError
from .syntax import NotConstantError
from .variables import default_text

MAX_FILE_BYTES = 4 << 20
_FIRST = ("terraform.tfvars", "terraform.tfvars.json")
_AUTOMATIC = (".auto.tfvars", ".auto.tfvars.json")


def read_bytes(file: Path, name: str) -> bytes:
    """Return the content of a file in UTF-8. Raises EngineError if it is too large, TemplateSyntaxError if it is no
    text."""
    with file.open("rb") as stream:
        source = stream.read(MAX_FILE_BYTES + 1)
    if len(source) > MAX_FILE_BYTES:
        raise EngineError(f"{name} is larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        source.decode()
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise TemplateSyntaxError([Problem("The file is not valid UTF-8", Location(name, line))]) from error
    return source


@dataclass(frozen=True, slots=True)
class FileValue:
    """A value of a variable file, with the name of the file."""

    value: Any
    file: str


def template_values(directory: Path) -> dict[str, FileValue]:
    """Return the values that Terraform loads by itself from a template's root folder, by name.

    ``terraform.tfvars`` comes first, then ``terraform.tfvars.json``, then ``*.auto.tfvars`` and ``*.auto.tfvars.json``
    in the order of their names; later files override earlier ones. Links are not read. Raises TemplateSyntaxError.
    """
    with os.scandir(directory) as entries:
        names = {entry.name for entry in entries if ".tfvars" in entry.name and entry.is_file(follow_symlinks=False)}
    ordered = [name for name in _FIRST if name in names]
    ordered += sorted(name for name in names if name.endswith(_AUTOMATIC))
    found: dict[str, FileValue] = {}
    for name in ordered:
        values = read_values(read_bytes(directory / name, name), name)
        found |= {variable: FileValue(value, name) for variable, value in values.items()}
    return found


def with_values(schemas: Iterable[ParameterSchema], values: dict[str, FileValue]) -> tuple[ParameterSchema, ...]:
    """Return the variables with the values of the template's variable files in place of their defaults."""
    return tuple(
        _with_value(schema, values[schema.name].value) if schema.name in values else schema for schema in schemas
    )


def _with_value(schema: ParameterSchema, value: Any) -> ParameterSchema:
    text = None if value is None else default_text(value)
    return replace(schema, default_source_value=text, default_is_null=value is None)


def read_values(source: bytes, name: str) -> dict[str, Any]:
    """Return the values of a variable file: JSON if its name ends in ``.json``, native syntax otherwise.

    Raises TemplateSyntaxError with the lines of all problems.
    """
    document = JsonDocument(source, name) if name.endswith(".json") else NativeDocument(source, name)
    problems = list(document.problems)
    values: dict[str, Any] = {}
    if not problems and isinstance(document, NativeDocument):
        problems += [
            document.problem(f"A variable file has only values, no blocks: {block.type}", block.location.line)
            for block in document.blocks
        ]
    for variable, expression in document.attributes.items():
        try:
            values[variable] = expression.constant()
        except NotConstantError as error:
            summary = f"The value of {variable} must be a constant: {error}"
            problems.append(document.problem(summary, expression.location.line))
    if problems:
        raise TemplateSyntaxError(problems)
    return values


def expression_value(text: str) -> Any:
    """Return the value of one constant expression in native syntax. Raises NotConstantError."""
    document = NativeDocument(f"value = {text}\n".encode(errors="replace"), "value")
    if document.problems or document.blocks or list(document.attributes) != ["value"]:
        raise NotConstantError("it is not an expression")
    return document.attributes["value"].constant()
