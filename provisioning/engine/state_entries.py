"""Read the instances of resources and data sources from a Terraform state, as ``terraform show -json`` would.

The format is version 4, which Terraform writes since 0.12 and OpenTofu as well. Reading it needs no process and no
schemas; only values of dynamic types look different: a state names their type as well.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from .base import EngineError
from .graph import without_instance_keys
from .plan_instances import Entry
from .plan_values import Values

STATE_VERSION = 4

Json = dict[str, Any]


def read_state_entries(state: Json) -> Iterator[Entry]:
    """Yield the entries of a state in its order, with revealed values. Objects that Terraform will destroy because it
    has replaced them (deposed ones) are left out. Raises EngineError for another version of the format."""
    if state.get("version") != STATE_VERSION:
        raise EngineError(f"the workspace's state cannot be read: its format has the version {state.get('version')!r}")
    position = 0
    for resource in state.get("resources") or ():
        path = resource.get("module") or ""
        module = f"{without_instance_keys(path)}." if path else ""
        mode, kind, name = resource.get("mode", "managed"), resource["type"], resource["name"]
        address = f"{path}{'.' if path else ''}{'data.' if mode == 'data' else ''}{kind}.{name}"
        for instance in resource.get("instances") or ():
            if instance.get("deposed"):
                continue
            marks = _marks(instance.get("sensitive_attributes") or ())
            values = Values(instance.get("attributes") or {}, marks, reveal=True)
            yield Entry(f"{address}{_key(instance)}", module, mode, kind, name, values, position)
            position += 1


def _key(instance: Json) -> str:
    """Return the instance key as Terraform writes it in an address."""
    key = instance.get("index_key")
    if key is None:
        return ""
    if isinstance(key, str):
        return f"[{json.dumps(key, ensure_ascii=False).replace('${', '$${').replace('%{', '%%{')}]"
    return f"[{key}]"


def _marks(paths: Iterable[Any]) -> Any:
    """Return the marks at these paths: a tree of attributes and places, with True for each sensitive value."""
    root: Any = {}
    for path in paths:
        root = _marked(root, path if isinstance(path, list) else [])
    return root


def _marked(marks: Any, path: list[Any]) -> Any:
    """Return marks with one more sensitive value. A path that cannot be followed marks what it leads into."""
    if marks is True or not path:
        return True
    step, rest = path[0], path[1:]
    place = step.get("value") if isinstance(step, dict) else None
    if isinstance(place, dict):
        place = place.get("value")
    if isinstance(place, str) and isinstance(marks, dict):
        return marks | {place: _marked(marks.get(place, {}), rest)}
    if isinstance(place, int) and 0 <= place < 10_000 and (marks == {} or isinstance(marks, list)):
        known = list(marks)
        known += [{}] * (place + 1 - len(known))
        known[place] = _marked(known[place], rest)
        return known
    return True
