"""The instances of ``count`` and ``for_each`` in a plan or state, and which instances belong together.

The dependency graph knows configuration objects only. An agent and its machine, an app and its agent, metadata and its
resource are matched by their instance keys, by a key that the configuration names, or by an agent's id.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .graph import without_instance_keys
from .plan_values import Values

Keys = tuple[str, ...]

_KEY = re.compile(r'\[(\d+|"(?:[^"\\]|\\.)*")\]')
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Entry:
    """An instance of a resource or data source. ``module`` is "" or ends with a dot.

    ``address`` is unique, ``label`` is the name in the graph, which all instances share. ``keys`` are the instance keys
    of the modules and of the resource itself; ``position`` is its place in the plan.
    """

    address: str
    module: str
    mode: str
    type: str
    name: str
    values: Values
    position: int

    @cached_property
    def label(self) -> str:
        return f"{self.module}{'data.' if self.mode == 'data' else ''}{self.type}.{self.name}"

    @cached_property
    def keys(self) -> Keys:
        return instance_keys(self.address)

    @property
    def instance_key(self) -> str | None:
        """The keys as one text, None for the only instance of a resource."""
        return "/".join(self.keys) if self.keys else None

    @property
    def shown(self) -> str:
        """The name for messages: ``main``, or ``main["eu"]`` for an instance."""
        return self.address[self.address.rindex(f"{self.type}.{self.name}") + len(self.type) + 1 :]


def read_entries(root: dict[str, Any], *, reveal: bool, start: int = 0) -> Iterator[Entry]:
    """Yield the entries of a tree of modules in Terraform's order. ``start`` is the position of the first."""
    for position, (module, resource) in enumerate(_walk(root), start):
        values = Values(resource.get("values") or {}, resource.get("sensitive_values") or {}, reveal)
        mode = resource.get("mode", "managed")
        address = resource["address"]
        yield Entry(address, module, mode, resource["type"], resource["name"], values, position)


def _walk(root: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    address = root.get("address")
    module = f"{without_instance_keys(address)}." if address else ""
    for resource in root.get("resources") or ():
        yield module, resource
    for child in root.get("child_modules") or ():
        yield from _walk(child)


def instance_keys(address: str) -> Keys:
    """Return the instance keys in an address: ``module.a["x"].aws_disk.b[0]`` → ``("x", "0")``."""
    return tuple(_key_text(key) for key in _KEY.findall(address))


def named_key(references: Iterable[str], name: str) -> str | None:
    """Return the constant key with which an expression's references name an instance of ``name`` (``vm.dev``)."""
    for reference in references:
        match = _KEY.match(reference, len(name)) if reference.startswith(f"{name}[") else None
        if match is not None:
            return _key_text(match[1])
    return None


def _key_text(key: str) -> str:
    if not key.startswith('"'):
        return key
    try:
        text = str(json.loads(key, strict=False))
    except ValueError:
        text = key[1:-1]
    return text.replace("$${", "${").replace("%%{", "%{")


class Instances:
    """Entries of one kind by address, and by label in the order of the plan."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.by_address = {entry.address: entry for entry in entries}
        self.by_label: dict[str, list[Entry]] = {}
        for entry in self.by_address.values():
            self.by_label.setdefault(entry.label, []).append(entry)
        self._holders: dict[str, dict[str, Entry]] = {}
        self._by_keys: dict[str, dict[Keys, list[Entry]]] = {}
        self._places: dict[str, dict[str, int]] = {}

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.by_address.values())

    def __len__(self) -> int:
        return len(self.by_address)

    def with_id(self, wanted: Any) -> list[Entry]:
        """Return the entries with an id. Ids of most resources are known only after an apply."""
        if not isinstance(wanted, str) or not wanted:
            return []
        return self._by_id.get(wanted, [])

    @cached_property
    def _by_id(self) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = {}
        for entry in self:
            if isinstance(own := entry.values.raw("id"), str):
                found.setdefault(own, []).append(entry)
        return found

    def places(self, label: str) -> dict[str, int]:
        """Return the places of a label's instances among each other, by address."""
        if label not in self._places:
            self._places[label] = {entry.address: place for place, entry in enumerate(self.by_label[label])}
        return self._places[label]

    def holder(self, label: str, text: Any) -> Entry | None:
        """Return the first instance that has the UUID ``text`` in its values, or None."""
        if label not in self._holders:
            self._holders[label] = {}
            for entry in self.by_label[label]:
                for found in _UUID.findall(json.dumps(entry.values.attributes)):
                    self._holders[label].setdefault(found, entry)
        return self._holders[label].get(text) if isinstance(text, str) else None

    def matching(self, label: str, keys: Keys, named: str | None = None) -> list[Entry]:
        """Return the instances of a label that belong to an object with these keys; all if the keys do not tell.

        ``named`` is the constant key that an expression names.
        """
        found = self.by_label.get(label, [])
        if named is not None:
            wanted = [entry for entry in found if entry.keys[-1:] == (named,)]
            found = wanted or found
        if len(found) > 1 and named is None:
            found = self._with_keys(label).get(keys) or found
        if len(found) > 1:
            # The same instance of a module.
            found = [entry for entry in found if keys and _is_prefix(entry.keys, keys)] or found
        return found

    def _with_keys(self, label: str) -> dict[Keys, list[Entry]]:
        if label not in self._by_keys:
            self._by_keys[label] = {}
            for entry in self.by_label.get(label, ()):
                self._by_keys[label].setdefault(entry.keys, []).append(entry)
        return self._by_keys[label]


def _is_prefix(one: Keys, other: Keys) -> bool:
    """Return True if one of the keys starts with the other."""
    length = min(len(one), len(other))
    return length > 0 and one[:length] == other[:length]
