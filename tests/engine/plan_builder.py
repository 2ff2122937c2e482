"""Build small plans: JSON like ``terraform show`` and DOT like ``terraform graph -type=plan``."""

from itertools import pairwise
from typing import Any

from provisioning.engine.base import PlanResult
from provisioning.engine.graph import without_instance_keys


def instance(address: str, values: dict[str, Any] | None = None, sensitive: Any = None) -> dict[str, Any]:
    """One entry of ``planned_values`` or ``prior_state``. The address can have a module path and instance keys."""
    *path, kind, name = without_instance_keys(address).split(".")
    return {
        "address": address,
        "mode": "data" if path[-1:] == ["data"] else "managed",
        "type": kind,
        "name": name,
        "values": values or {},
        "sensitive_values": sensitive if sensitive is not None else {},
    }


def configured(address: str, *, for_each: list[str] | None = None, **expressions: Any) -> dict[str, Any]:
    """One resource of ``configuration``. Each expression is a list of references or the final JSON."""
    entry = instance(address)
    found = {k: {"references": v} if isinstance(v, list) and _texts(v) else v for k, v in expressions.items()}
    result = {k: entry[k] for k in ("address", "mode", "type", "name")} | {"expressions": found}
    return result | ({"for_each_expression": {"references": for_each}} if for_each else {})


def _texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def module(*resources: dict[str, Any], address: str = "", children: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    """A module of ``planned_values`` or ``prior_state``."""
    result: dict[str, Any] = {"resources": list(resources)}
    if address:
        result["address"] = address
    if children:
        result["child_modules"] = list(children)
    return result


def plan(
    planned: dict[str, Any],
    configuration: dict[str, Any] | None = None,
    prior: dict[str, Any] | None = None,
) -> dict[str, Any]:
    result: dict[str, Any] = {"planned_values": {"root_module": planned}}
    if configuration is not None:
        result["configuration"] = {"root_module": configuration}
    if prior is not None:
        result["prior_state"] = {"values": {"root_module": prior}}
    return result


def state(*resources: dict[str, Any]) -> dict[str, Any]:
    """The file of a state with these instances, each the only one of its resource."""
    found = [
        {key: one[key] for key in ("mode", "type", "name")}
        | {"instances": [{"attributes": one["values"], "sensitive_attributes": []}]}
        for one in resources
    ]
    return {"version": 4, "resources": found}


def dot(*edges: str, nodes: tuple[str, ...] = ()) -> str:
    """A graph from ``"a -> b -> c"``: a depends on b, b on c."""
    lines = [f'\t\t"[root] {node} (expand)" [label = "{node}"]' for node in nodes]
    for chain in edges:
        names = [f'"[root] {name.strip()} (expand)"' for name in chain.split("->")]
        lines += [f"\t\t{a} -> {b}" for a, b in pairwise(names)]
    return 'digraph {\n\tsubgraph "root" {\n' + "\n".join(lines) + "\n\t}\n}\n"


AGENT = {"os": "linux", "arch": "amd64", "auth": "token"}


def agents_of(result: PlanResult) -> dict[str, list[str]]:
    """Return the names of agents by ``type.name`` of their resource."""
    return {f"{r.type}.{r.name}": [agent.name for agent in r.agents] for r in result.resources}


def apps_of(result: PlanResult) -> dict[str, list[str]]:
    """Return the slugs of apps by agent name."""
    return {agent.name: [app.slug for app in agent.apps] for r in result.resources for agent in r.agents}
