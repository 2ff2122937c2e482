"""Report what exceeds its bound in the result of a job, by object and field."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from msgspec import Meta

from provisioning.engine.base import (
    Agent,
    App,
    EngineError,
    ParameterSchema,
    Preset,
    Resource,
    ResourceMetadata,
    RichParameter,
    RichParameterOption,
)

# The word for an object, and the field with its name.
_OBJECTS = {
    Agent: ("agent", "name"),
    App: ("app", "slug"),
    ParameterSchema: ("variable", "name"),
    Preset: ("preset", "name"),
    Resource: ("resource", "name"),
    ResourceMetadata: ("metadata", "key"),
    RichParameter: ("parameter", "name"),
    RichParameterOption: ("option", "name"),
}
_NAME_CHARACTERS = 64
# Texts in which the server replaces control characters (``provisioning.results``).
_REPLACED = {
    (ParameterSchema, "description"),
    (Agent, "startup_script"),
    (Agent, "shutdown_script"),
    (ResourceMetadata, "value"),
}

Bound = tuple[Meta, ...]


def check(value: Any) -> None:
    """Check a data class of ``base`` and everything in it, or a tuple of them.

    Raises EngineError that names the object and the field: a text or a list that is too long, a text with the character
    NUL, a number that is too large.
    """
    problem = next(_problems(value, "", (), (), ""), None)
    if problem is not None:
        raise EngineError(f"the job's results cannot be stored: {problem}")


def _problems(value: Any, name: str, bound: Bound, inner: Bound, owner: str) -> Iterator[str]:
    """Yield the problems of a value. ``inner`` are the bounds of the texts in it, ``owner`` describes its object."""
    if isinstance(value, str):
        if "\0" in value:
            yield f"{owner}the {name} contains the character NUL"
        yield from _too_long(len(value), "characters", name, bound, owner)
    elif isinstance(value, int) and not isinstance(value, bool):
        for meta in bound:
            if not (meta.ge or value) <= value <= (meta.le or value):
                yield f"{owner}the {name} is {str(value)[:40]}, it must be between {meta.ge} and {meta.le}"
    elif isinstance(value, tuple):
        yield from _too_long(len(value), "entries", name, bound, owner)
        for entry in value:
            yield from _problems(entry, name, inner, (), owner)
    elif isinstance(value, dict):
        yield from _too_long(len(value), "entries", name, bound, owner)
        for key, entry in value.items():
            yield from _problems(key, f"name of an entry of {name}", inner, (), owner)
            yield from _problems(entry, f"{name}.{key[:_NAME_CHARACTERS]}", inner, (), owner)
    elif is_dataclass(value):
        own = owner + _described(value)
        data_class: Any = type(value)
        for field, own_bound, own_inner in _bounds(data_class):
            found = getattr(value, field)
            if isinstance(found, str) and (data_class, field) in _REPLACED:
                found = found.replace("\0", " ")
            yield from _problems(found, field, own_bound, own_inner, own)


def _too_long(count: int, unit: str, name: str, bound: Bound, owner: str) -> Iterator[str]:
    for meta in bound:
        if meta.max_length is not None and count > meta.max_length:
            yield f"{owner}the {name} has {count} {unit}, more than {meta.max_length}"


def _described(value: Any) -> str:
    """Return the description of an object before its field: ``app "code": ``."""
    word, field = _OBJECTS.get(type(value), ("", ""))
    if not word:
        return ""
    name = "".join(char if char.isprintable() else "\ufffd" for char in getattr(value, field)[: _NAME_CHARACTERS + 1])
    shown = name if len(name) <= _NAME_CHARACTERS else f"{name[:_NAME_CHARACTERS]}…"
    key = getattr(value, "instance_key", None)
    return f'{word} "{shown}": ' if key is None else f'{word} "{shown}[{key[:_NAME_CHARACTERS]}]": '


@cache
def _bounds(data_class: type) -> tuple[tuple[str, Bound, Bound], ...]:
    """Return the fields of a data class with their bounds, and the bounds of the texts in lists and maps."""
    hints = get_type_hints(data_class, include_extras=True)
    found = []
    for field in fields(data_class):
        arguments = _options(hints[field.name])
        metas = tuple(meta for hint in arguments for meta in getattr(hint, "__metadata__", ()))
        plain = (get_args(hint)[0] if hasattr(hint, "__metadata__") else hint for hint in arguments)
        inner = {meta for hint in plain for part in get_args(hint) for meta in getattr(part, "__metadata__", ())}
        found.append((field.name, metas, tuple(inner)))
    return tuple(found)


def _options(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the type itself."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
