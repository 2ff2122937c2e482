"""Terraform's dependency graph: dependencies between nodes, and the nearest nodes.

The graph comes from ``terraform graph -type=plan``. Its nodes are configuration objects (``module.disk.var.size``,
``coder_agent.main``), not single instances of ``count`` or ``for_each``. Terraform omits an edge if a longer path
implies it.
"""

import re
from collections.abc import Container, Iterable
from enum import Enum

_EDGE = re.compile(r'^\s*"((?:[^"\\]|\\.)*)"(?:\s*->\s*"((?:[^"\\]|\\.)*)")?')
_ESCAPE = re.compile(r"\\(.)")
_ROOT_PREFIX = "[root] "
_EXPAND_SUFFIX = " (expand)"


class Direction(Enum):
    DEPENDENCIES = "dependencies"
    DEPENDANTS = "dependants"


class Graph:
    """Nodes by name, with their direct dependencies and dependants.

    Names are Terraform's without ``[root]`` and ``(expand)``; other suffixes stay (``module.disk (close)``).
    """

    def __init__(self, edges: Iterable[tuple[str, str]] = (), nodes: Iterable[str] = ()) -> None:
        """``edges`` lead from a dependant to its dependency."""
        self._neighbours: dict[Direction, dict[str, set[str]]] = {direction: {} for direction in Direction}
        self._nodes = set(nodes)
        for dependant, dependency in edges:
            self.connect(dependant, dependency)

    @classmethod
    def parse(cls, dot: str) -> "Graph":
        """Parse a graph in DOT format. Lines that are neither a node nor an edge are ignored."""
        nodes: list[str] = []
        edges: list[tuple[str, str]] = []
        for line in dot.splitlines():
            match = _EDGE.match(line)
            if match is None:
                continue
            name = _node_name(match[1])
            nodes.append(name)
            if match[2] is not None:
                edges.append((name, _node_name(match[2])))
        return cls(edges, nodes)

    def connect(self, dependant: str, dependency: str) -> None:
        """Add an edge. The graph can then have cycles."""
        self._nodes |= {dependant, dependency}
        self._neighbours[Direction.DEPENDENCIES].setdefault(dependant, set()).add(dependency)
        self._neighbours[Direction.DEPENDANTS].setdefault(dependency, set()).add(dependant)

    def starting_with(self, prefix: str) -> list[str]:
        """Return the nodes whose names start with ``prefix``, sorted."""
        return sorted(node for node in self._nodes if node.startswith(prefix))

    def __contains__(self, node: str) -> bool:
        return node in self._nodes

    def nearest(self, start: Iterable[str], targets: Container[str], direction: Direction) -> list[str]:
        """Return the targets with the smallest distance from any of ``start``, sorted by name.

        A start node that is a target has distance 0. Unknown start nodes have no neighbours.
        """
        neighbours = self._neighbours[direction]
        level = set(start)
        seen = set(level)
        while level:
            found = sorted(node for node in level if node in targets)
            if found:
                return found
            level = {after for node in level for after in neighbours.get(node, ())} - seen
            seen |= level
        return []


def _node_name(quoted: str) -> str:
    name = _ESCAPE.sub(r"\1", quoted)
    return name.removeprefix(_ROOT_PREFIX).removesuffix(_EXPAND_SUFFIX)


def without_instance_keys(address: str) -> str:
    """Return an address without instance keys: ``module.a["x"].aws_disk.b[0]`` → ``module.a.aws_disk.b``."""
    kept: list[str] = []
    depth = 0
    in_text = False
    escaped = False
    for char in address:
        if in_text:
            in_text = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            in_text = True
        elif char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
        elif depth == 0:
            kept.append(char)
    return "".join(kept)


def reference_nodes(references: Iterable[str], module: str = "") -> list[str]:
    """Return the nodes to which the ``references`` of an expression refer, in the same order.

    ``module`` is the prefix of the module that holds the expression: "" for the root, else ``module.disk.``.
    Terraform lists each reference again in shorter forms; a bare ``module.x`` counts only when no output of it
    is named.
    """
    paths = [without_instance_keys(reference).split(".") for reference in references]
    named_modules = {path[1] for path in paths if path[0] == "module" and len(path) > 2}
    nodes: dict[str, None] = {}
    for path in paths:
        if path[0] in ("each", "count", "self", "path", "terraform") or len(path) < 2:
            continue
        if path[0] == "module":
            if len(path) > 2:
                nodes[f"{module}module.{path[1]}.output.{path[2]}"] = None
            elif path[1] not in named_modules:
                nodes[f"{module}module.{path[1]} (close)"] = None
        else:
            nodes[module + ".".join(path[: 3 if path[0] == "data" else 2])] = None
    return list(nodes)
