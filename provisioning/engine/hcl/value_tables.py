"""What functions and arguments of the coder provider reveal about the shape of a value; see ``value_shapes``."""

from collections.abc import Iterable

from provisioning.engine.provider.coder_schema import DATA_SOURCES, RESOURCES
from provisioning.engine.provider.schema import Schema
from provisioning.engine.provider_usage import BOOL, CIDR, JSON, NUMBER, OBJECT, TIME

from .syntax import INDEX

# For each function two sequences of steps. The first describes the argument's type. The second leads from the argument
# to the result; None if the result contains nothing of the argument.
_SAME: tuple[tuple[str, ...], tuple[str, ...] | None] = ((), ())
# Marks the result of a function that is a list or set, whatever its argument is.
AS_LIST = "#list"
_LIST: tuple[tuple[str, ...], tuple[str, ...] | None] = ((INDEX,), (AS_LIST,))
FUNCTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...] | None]] = {
    **dict.fromkeys(("coalesce", "nonsensitive", "sensitive", "try"), _SAME),
    **dict.fromkeys(
        ("toset", "tolist", "sort", "distinct", "reverse", "compact", "slice", "concat", "coalescelist", "chunklist"),
        _LIST,
    ),
    **dict.fromkeys(("setunion", "setintersection", "setsubtract"), _LIST),
    **dict.fromkeys(("flatten", "length"), ((INDEX,), None)),
    "one": ((INDEX,), (INDEX,)),
    "element": ((INDEX,), (INDEX,)),
    "values": ((OBJECT,), ()),
    "merge": ((OBJECT,), ()),
    "tomap": ((OBJECT,), ()),
    **dict.fromkeys(("keys", "lookup", "zipmap"), ((OBJECT,), None)),
    **dict.fromkeys(("sum",), ((INDEX, NUMBER), None)),
    **dict.fromkeys(("tonumber", "max", "min", "ceil", "floor", "abs", "range"), ((NUMBER,), None)),
    "tobool": ((BOOL,), None),
    **dict.fromkeys(("jsondecode", "yamldecode"), ((JSON,), (JSON,))),
    **dict.fromkeys(("cidrsubnet", "cidrsubnets", "cidrhost", "cidrnetmask"), ((CIDR,), None)),
    **dict.fromkeys(("timeadd", "timecmp"), ((TIME,), None)),
    **dict.fromkeys(("alltrue", "anytrue"), ((INDEX, BOOL), None)),
}
# Functions whose collection is the second argument.
SECOND = {"join": (INDEX,), "formatlist": (INDEX,), "formatdate": (TIME,)}
ONLY_FIRST = frozenset({"lookup", "slice", "element", "cidrsubnet", "cidrsubnets", "cidrhost", "chunklist"})


def _coder_types(schemas: Iterable[Schema]) -> dict[str, str]:
    """Return the marks of the numbers and booleans among the arguments of the coder provider, by name."""
    found: dict[str, str] = {}
    for schema in schemas:
        found |= _coder_types(block.schema for block in schema.blocks.values())
        for name, attribute in schema.attributes.items():
            if mark := {"number": NUMBER, "bool": BOOL}.get(str(attribute.type)):
                found[name] = mark
    return found


CODER_TYPES = _coder_types([*RESOURCES.values(), *DATA_SOURCES.values()])
del CODER_TYPES["default"]  # a text in a parameter, a boolean in a preset
