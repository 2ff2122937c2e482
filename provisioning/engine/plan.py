"""From Terraform's plan JSON and graph to resources, agents, apps, metadata and rich parameters.

Instances of ``count`` and ``for_each`` collapse into one resource, an agent belongs to the nearest resource that
depends on it, metadata to the resource it describes. At plan time ids are unknown: apps and metadata follow the
references of the configuration.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from . import plan_values
from .base import Agent, App, EngineError, PlanResult, Resource, ResourceMetadata, RichParameter
from .graph import Direction, Graph, reference_nodes, without_instance_keys
from .hcl import Module
from .plan_values import Values
from .stub import STAND_IN_ADDRESS

AGENT = "coder_agent"
AGENT_INSTANCE = "coder_agent_instance"
APP = "coder_app"
METADATA = "coder_metadata"
PARAMETER = "coder_parameter"
MODULE = "module"
CODER_PREFIX = "coder_"

Json = dict[str, Any]


def plan_result(
    plan_json: Json, graph_dot: str, module: Module | None = None, *, stubbed_modules: Collection[str] = ()
) -> PlanResult:
    """What a plan found, from ``terraform show -json PLANFILE`` and ``terraform graph -type=plan``.

    ``module`` gives rich parameters the order of the source; without it they are sorted by name.
    ``stubbed_modules`` are the keys of calls (``network.subnets``) that a stub answers for: such a module is a
    resource when it holds the only thing that needs an agent. Sensitive values are replaced. Raises EngineError
    when names or slugs collide, or when an app's agent cannot be told.
    """
    planned = plan_json.get("planned_values") or {}
    prior = (plan_json.get("prior_state") or {}).get("values") or {}
    entries = [
        entry
        for root, managed in ((prior, False), (planned, True))
        for entry in _entries(root.get("root_module") or {}, reveal=False)
        # The prior state's managed resources may be about to go away.
        if managed or entry.mode == "data"
    ]
    configuration = (plan_json.get("configuration") or {}).get("root_module") or {}
    stand_ins = {_stand_in(key): key for key in stubbed_modules}
    return _Conversion(entries, dict(_configured(configuration)), Graph.parse(graph_dot), stand_ins).result(module)


def _stand_in(key: str) -> str:
    """The label of the resource that stands for all of a stubbed module."""
    return "".join(f"module.{name}." for name in key.split(".")) + STAND_IN_ADDRESS


def state_result(state_json: Json, graph_dot: str, module: Module | None = None) -> PlanResult:
    """What an apply left behind, from ``terraform show -json`` and ``terraform graph -type=plan``.

    Unlike a plan's, the agents have their tokens and instance ids, and sensitive values are kept, metadata
    aside: this is what a workspace runs on.
    """
    root = (state_json.get("values") or {}).get("root_module") or {}
    return _Conversion(list(_entries(root, reveal=True)), {}, Graph.parse(graph_dot), {}).result(module)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A resource or data source. ``module`` is "" or ends with a dot; ``label`` names it in the graph."""

    module: str
    mode: str
    type: str
    name: str
    values: Values

    @property
    def label(self) -> str:
        return f"{self.module}{'data.' if self.mode == 'data' else ''}{self.type}.{self.name}"


@dataclass(frozen=True, slots=True)
class _Configured:
    """What the configuration says about a resource: its expressions, and those of ``for_each``."""

    module: str
    type: str
    mode: str
    expressions: Json
    for_each: Json

    def nodes(self, attribute: str) -> list[str]:
        """The graph's nodes that an attribute's expression refers to."""
        references = _references(self.expressions.get(attribute))
        nodes = reference_nodes(references, self.module)
        if any(reference.startswith("each.") for reference in references):
            nodes += reference_nodes(_references(self.for_each), self.module)
        return nodes

    def block_arguments(self, block_type: str) -> set[str]:
        """The arguments that the first nested block of a type sets."""
        blocks = self.expressions.get(block_type)
        return set(blocks[0]) if isinstance(blocks, list) and blocks else set()


@dataclass(slots=True)
class _Details:
    """What ``coder_metadata`` says about a resource."""

    items: list[ResourceMetadata] = field(default_factory=list)
    hide: bool = False
    icon: str = ""
    daily_cost: int = 0


def _entries(root: Json, *, reveal: bool) -> Iterator[_Entry]:
    """The entries of a tree of modules, children before their parent."""
    for child in root.get("child_modules") or ():
        yield from _entries(child, reveal=reveal)
    address = root.get("address")
    module = f"{without_instance_keys(address)}." if address else ""
    for resource in root.get("resources") or ():
        values = Values(resource.get("values") or {}, resource.get("sensitive_values") or {}, reveal)
        mode = resource.get("mode", "managed")
        yield _Entry(module, mode, resource["type"], resource["name"], values)


def _configured(root: Json, module: str = "") -> Iterator[tuple[str, _Configured]]:
    """The configured resources by label."""
    for resource in root.get("resources") or ():
        found = _Configured(
            module=module,
            type=resource["type"],
            mode=resource.get("mode", "managed"),
            expressions=resource.get("expressions") or {},
            for_each=resource.get("for_each_expression") or {},
        )
        yield f"{module}{resource['address']}", found
    for name, call in (root.get("module_calls") or {}).items():
        yield from _configured(call.get("module") or {}, f"{module}module.{name}.")


def _references(expression: Any) -> list[str]:
    return list(expression.get("references") or ()) if isinstance(expression, dict) else []


class _Conversion:
    def __init__(
        self, entries: Iterable[_Entry], configured: dict[str, _Configured], graph: Graph, stand_ins: dict[str, str]
    ) -> None:
        # Instances share their label: the last one stands for all.
        self.entries = {entry.label: entry for entry in entries}
        self.configured = configured
        self.graph = graph
        self.resources = {
            label: entry
            for label, entry in self.entries.items()
            if entry.mode == "managed" and not entry.type.startswith(CODER_PREFIX) and label not in stand_ins
        }
        # A stubbed module counts as a resource of its name, once it turns out to hold an agent.
        self.stand_ins = {
            label: replace(self.entries[label], type=MODULE, name=key.rpartition(".")[2])
            for label, key in stand_ins.items()
            if label in self.entries
        }
        self.agents = {entry.label: entry for entry in self._managed(AGENT)}
        # Including what the configuration has and this transition has not.
        self.known_agents = self.agents.keys() | {
            label for label, found in configured.items() if found.type == AGENT and found.mode == "managed"
        }
        self.known_resources = self.resources.keys() | {
            label
            for label, found in configured.items()
            if found.mode == "managed" and not found.type.startswith(CODER_PREFIX)
        }
        self.known_stand_ins = stand_ins.keys()

    def result(self, module: Module | None) -> PlanResult:
        apps = self._apps()
        agents: dict[str, list[Agent]] = {}
        self._check_agent_names()
        for label, entry in self.agents.items():
            target = self._resource_of_agent(label)
            if target is not None:
                found = plan_values.agent(entry.name, entry.values)
                instance_id = self._instance_id(entry, target) if found.auth != "token" else ""
                own_apps = tuple(sorted(apps.get(label, ()), key=lambda app: app.slug))
                agents.setdefault(target, []).append(replace(found, apps=own_apps, instance_id=instance_id))
        self.resources |= {label: self.stand_ins[label] for label in agents.keys() & self.stand_ins.keys()}
        details = self._details()
        ordered = sorted(self.resources.items(), key=lambda item: (item[1].name, item[1].type, item[0]))
        return PlanResult(
            resources=tuple(
                self._resource(entry, agents.get(label, []), details.get(label, _Details())) for label, entry in ordered
            ),
            rich_parameters=self._rich_parameters(module),
        )

    def _managed(self, resource_type: str) -> list[_Entry]:
        """The managed entries of a type, by label."""
        found = [e for e in self.entries.values() if e.mode == "managed" and e.type == resource_type]
        return sorted(found, key=lambda entry: entry.label)

    @staticmethod
    def _labels_by_id(entries: dict[str, _Entry], wanted: Any) -> list[str]:
        """The labels of the entries with an id; ids are known after an apply only."""
        if not isinstance(wanted, str) or not wanted:
            return []
        return [label for label, entry in sorted(entries.items()) if entry.values.raw("id") == wanted]

    # ------------------------------------------------------------------ resources
    def _resource(self, entry: _Entry, agents: list[Agent], details: _Details) -> Resource:
        instance_type = plan_values.INSTANCE_TYPE_ATTRIBUTES.get(entry.type)
        return Resource(
            name=entry.name,
            type=entry.type,
            agents=tuple(sorted(agents, key=lambda agent: agent.name)),
            metadata=tuple(details.items),
            hide=details.hide,
            icon=details.icon,
            daily_cost=details.daily_cost,
            instance_type=entry.values.text(instance_type) if instance_type else "",
        )

    def _details(self) -> dict[str, _Details]:
        details: dict[str, _Details] = {}
        for entry in self._managed(METADATA):
            target = self._resource_of_metadata(entry)
            if target is None:
                continue
            found = details.setdefault(target, _Details())
            found.hide = entry.values.boolean("hide")
            found.icon = entry.values.text("icon")
            found.daily_cost = entry.values.integer("daily_cost")
            found.items += plan_values.metadata_items(entry.values)
            key = _repeated(item.key for item in found.items)
            if key is not None:
                resource = self.resources[target]
                raise EngineError(f'the metadata of {resource.type}.{resource.name} has "{key}" twice')
        return details

    def _resource_of_metadata(self, entry: _Entry) -> str | None:
        by_id = self._labels_by_id(self.resources, entry.values.raw("resource_id"))
        if by_id:
            return by_id[0]
        configured = self.configured.get(entry.label)
        if configured is not None:
            nodes = configured.nodes("resource_id")
            described = self.graph.nearest(nodes, self.known_resources, Direction.DEPENDENCIES)
            if described:
                return next((label for label in described if label in self.resources), None)
        nearest = self.graph.nearest([entry.label], self.resources, Direction.DEPENDENCIES)
        return nearest[0] if nearest else None

    # ------------------------------------------------------------------ agents and apps
    def _check_agent_names(self) -> None:
        name = _repeated(entry.name for entry in self.agents.values())
        if name is not None:
            raise EngineError(f'two agents are named "{name}": the names of coder_agent resources must differ')

    def _resource_of_agent(self, label: str) -> str | None:
        if label not in self.graph:
            raise EngineError(f'agent "{self.agents[label].name}" is missing from the dependency graph')
        nearest = self.graph.nearest([label], self.resources, Direction.DEPENDANTS)
        if not nearest and self.stand_ins:
            elsewhere = self.known_resources - self.known_stand_ins
            if not self.graph.nearest([label], elsewhere, Direction.DEPENDANTS):
                nearest = self.graph.nearest([label], self.stand_ins, Direction.DEPENDANTS)
        return nearest[0] if nearest else None

    def _instance_id(self, entry: _Entry, target: str) -> str:
        """The id by which a machine proves what it is: said by the template, or the machine's own."""
        agent_id = entry.values.raw("id")
        for link in self._managed(AGENT_INSTANCE):
            if agent_id is not None and link.values.raw("agent_id") == agent_id:
                return link.values.text("instance_id")
        machine = self.resources.get(target, self.stand_ins.get(target, entry))
        attribute = plan_values.INSTANCE_ID_ATTRIBUTES.get(machine.type)
        return machine.values.text(attribute) if attribute else ""

    def _apps(self) -> dict[str, list[App]]:
        """The apps by the label of their agent."""
        apps: dict[str, list[App]] = {}
        slugs: list[str] = []
        for entry in self._managed(APP):
            found = plan_values.app(entry.name, entry.values)
            slugs.append(found.slug)
            for label in self._agents_of_app(entry):
                apps.setdefault(label, []).append(found)
        slug = _repeated(slugs)
        if slug is not None:
            raise EngineError(f'two apps have the slug "{slug}": slugs must differ within a template')
        return apps

    def _agents_of_app(self, entry: _Entry) -> list[str]:
        """The labels of the agents of an app: one, or none when its agent is not part of this plan."""
        by_id = self._labels_by_id(self.agents, entry.values.raw("agent_id"))
        if by_id:
            return by_id
        configured = self.configured.get(entry.label)
        nodes = configured.nodes("agent_id") if configured is not None else []
        referred = self.graph.nearest(nodes, self.known_agents, Direction.DEPENDENCIES)
        if referred:
            return [label for label in referred if label in self.agents][:1]
        if len(self.agents) <= 1:
            return list(self.agents)
        neighbours = [label for label, agent in self.agents.items() if agent.module == entry.module]
        if not neighbours:
            names = ", ".join(sorted(agent.name for agent in self.agents.values()))
            raise EngineError(f'it cannot be told which agent app "{entry.name}" belongs to: {names}')
        return neighbours

    # ------------------------------------------------------------------ rich parameters
    def _rich_parameters(self, module: Module | None) -> tuple[RichParameter, ...]:
        order = {label: index for index, label in enumerate(module.parameter_order if module else ())}
        found: list[tuple[int, RichParameter]] = []
        for label, entry in self.entries.items():
            if entry.mode != "data" or entry.type != PARAMETER:
                continue
            configured = self.configured.get(label)
            arguments = configured.block_arguments("validation") if configured is not None else None
            parameter = plan_values.rich_parameter(entry.name, entry.values, arguments or None)
            found.append((order.get(label, len(order)), parameter))
        name = _repeated(parameter.name for _, parameter in found)
        if name is not None:
            raise EngineError(f'two parameters are named "{name}": the names of coder_parameter must differ')
        found.sort(key=lambda item: (item[0], item[1].name))
        return tuple(parameter for _, parameter in found)


def _repeated(names: Iterable[str]) -> str | None:
    """The first name that occurs more than once."""
    counts = Counter(names)
    return next((name for name, count in counts.items() if count > 1), None)
