"""Convert Terraform's plan JSON and graph to resources, agents, apps, metadata and rich parameters.

Each instance of ``count`` and ``for_each`` counts (ruling 37); ``plan_instances`` finds those that belong together. An
agent belongs to the nearest resource that depends on it, metadata to the resource that it describes. Ids of other
resources than agents are unknown at plan time, so metadata is assigned by the references in the configuration, and so
is an app whose agent is not known.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from . import plan_values
from .base import Agent, App, EngineError, PlanResult, Resource, ResourceMetadata, RichParameter
from .graph import Direction, Graph, reference_nodes
from .hcl import Module
from .plan_instances import Entry, Instances, named_key, read_entries
from .state_entries import read_state_entries
from .stub import STUB_RESOURCE_ADDRESS

AGENT = "coder_agent"
AGENT_INSTANCE = "coder_agent_instance"
APP = "coder_app"
METADATA = "coder_metadata"
PARAMETER = "coder_parameter"
MODULE = "module"
CODER_PREFIX = "coder_"

# Nodes whose value can be an agent's id. Other references decide which agent is chosen.
_PASSED_ON = re.compile(r"(?:module\.[^.]+\.)*(?:local|var|output)\.")

Json = dict[str, Any]
_Name = TypeVar("_Name", bound=Hashable)


def plan_result(
    plan_json: Json,
    graph_dot: str,
    module: Module | None = None,
    *,
    stubbed_modules: Collection[str] = (),
    warn: Callable[[str], None] = lambda _text: None,
) -> PlanResult:
    """Convert a plan, given the output of ``terraform show -json PLANFILE`` and ``terraform graph -type=plan``.

    With ``module`` rich parameters are in source order, without it sorted by name. ``stubbed_modules`` are the keys of
    calls (``network.subnets``) that are replaced by stubs: such a module counts as a resource if nothing else depends
    on an agent. Sensitive values are replaced. ``warn`` is called for each app whose agent is not known in the plan:
    the app belongs to each agent that its expression can choose. Raises EngineError if names or slugs
    are not unique, or if the agent of an app cannot be determined.
    """
    return _conversion(plan_json, graph_dot, stubbed_modules, warn).result(module)


def planned_cost(plan_json: Json, graph_dot: str) -> int:
    """Return what the resources of a plan cost a day, in credits; 0 for what is known only after the apply. Raises
    EngineError."""
    return _conversion(plan_json, graph_dot).cost()


def _conversion(
    plan_json: Json,
    graph_dot: str,
    stubbed_modules: Collection[str] = (),
    warn: Callable[[str], None] = lambda _text: None,
) -> "_Conversion":
    planned = (plan_json.get("planned_values") or {}).get("root_module") or {}
    prior = ((plan_json.get("prior_state") or {}).get("values") or {}).get("root_module") or {}
    # Managed resources of the prior state can be about to be destroyed.
    entries = [entry for entry in read_entries(prior, reveal=False) if entry.mode == "data"]
    entries += read_entries(planned, reveal=False, start=entries[-1].position + 1 if entries else 0)
    configuration = (plan_json.get("configuration") or {}).get("root_module") or {}
    stub_resources = {_stub_resource_label(key): key for key in stubbed_modules}
    graph = Graph.parse(graph_dot)
    for label in stub_resources:
        # The stub's outputs are constants; those of the real module depend on its resources.
        for output in graph.starting_with(f"{label.removesuffix(STUB_RESOURCE_ADDRESS)}output."):
            graph.connect(output, label)
    return _Conversion(entries, dict(_configured(configuration)), graph, stub_resources, warn)


def _stub_resource_label(key: str) -> str:
    """Return the label of the resource that represents a stubbed module."""
    return "".join(f"module.{name}." for name in key.split(".")) + STUB_RESOURCE_ADDRESS


def state_result(state: Json, graph_dot: str, module: Module | None = None) -> PlanResult:
    """Convert a state, given its file's JSON and the output of ``terraform graph -type=plan``.

    Unlike in a plan, agents have tokens and instance ids, and sensitive values are included except in metadata:
    workspaces need them to run. Raises EngineError for an unknown format as well.
    """
    try:
        entries = list(read_state_entries(state))
    except (AttributeError, KeyError, TypeError) as error:
        raise EngineError(f"the workspace's state cannot be read: {type(error).__name__}") from error
    return _Conversion(entries, {}, Graph.parse(graph_dot), {}, lambda _text: None).result(module)


@dataclass(frozen=True, slots=True)
class _ConfiguredResource:
    """A resource in the configuration: its expressions and its ``for_each`` expression."""

    module: str
    type: str
    mode: str
    expressions: Json
    for_each: Json

    def nodes(self, attribute: str) -> list[str]:
        """Return the graph's nodes to which an attribute's expression refers."""
        references = _references(self.expressions.get(attribute))
        nodes = reference_nodes(references, self.module)
        if any(reference.startswith("each.") for reference in references):
            nodes += reference_nodes(_references(self.for_each), self.module)
        return nodes

    def named_key(self, attribute: str, label: str) -> str | None:
        """Return the constant key with which an attribute's expression names an instance of ``label``."""
        local = label.removeprefix(self.module)
        return named_key(_references(self.expressions.get(attribute)), local)

    def block_arguments(self, block_type: str) -> set[str]:
        """Return the arguments that are set in the first nested block of a type."""
        blocks = self.expressions.get(block_type)
        return set(blocks[0]) if isinstance(blocks, list) and blocks else set()


@dataclass(slots=True)
class _MetadataDetails:
    """The content of ``coder_metadata`` for a resource."""

    items: list[ResourceMetadata] = field(default_factory=list)
    hide: bool = False
    icon: str = ""
    daily_cost: int = 0


def _configured(root: Json, module: str = "") -> Iterator[tuple[str, _ConfiguredResource]]:
    """Yield the configured resources with their labels."""
    for resource in root.get("resources") or ():
        found = _ConfiguredResource(
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
        self,
        entries: Iterable[Entry],
        configured: dict[str, _ConfiguredResource],
        graph: Graph,
        stub_resources: dict[str, str],
        warn: Callable[[str], None],
    ) -> None:
        self.warn = warn
        # An entry of the plan replaces that of the prior state.
        self.entries = Instances(entries)
        self.configured = configured
        self.graph = graph
        self.resources = Instances(
            entry
            for entry in self.entries
            if entry.mode == "managed" and not entry.type.startswith(CODER_PREFIX) and entry.label not in stub_resources
        )
        # A stubbed module counts as a resource with its name if it has an agent.
        self.stub_resources = Instances(
            self.entries.by_address[entry.address] for entry in self.entries if entry.label in stub_resources
        )
        self.stub_names = {label: key.rpartition(".")[2] for label, key in stub_resources.items()}
        self.agents = Instances(self._managed(AGENT))
        # Includes agents in the configuration that are not part of this transition.
        self.known_agents = self.agents.by_label.keys() | {
            label for label, found in configured.items() if found.type == AGENT and found.mode == "managed"
        }
        self.known_resources = self.resources.by_label.keys() | {
            label
            for label, found in configured.items()
            if found.mode == "managed" and not found.type.startswith(CODER_PREFIX)
        }
        self.known_stub_resources = stub_resources.keys()

    def result(self, module: Module | None) -> PlanResult:
        apps = self._apps()
        agents: dict[str, list[Agent]] = {}
        self._check_agent_names()
        targets: dict[str, Entry] = {}
        for entry in self.agents:
            target = self._resource_of_agent(entry)
            if target is not None:
                targets[target.address] = target
                found = plan_values.agent(entry.name, entry.values)
                instance_id = self._instance_id(entry, target) if found.auth != "token" else ""
                own_apps = tuple(sorted(apps.get(entry.address, ()), key=lambda app: app.slug))
                found = replace(found, apps=own_apps, instance_id=instance_id, instance_key=entry.instance_key)
                agents.setdefault(target.address, []).append(found)
        details = self._details()
        # Stubbed modules with an agent count as resources.
        everything = self.resources.by_address | targets
        resources = [
            self._resource(entry, agents.get(address, []), details.get(address, _MetadataDetails()))
            for address, entry in sorted(everything.items(), key=lambda item: item[1].position)
        ]
        return PlanResult(
            # The sort is stable: instances keep the order of the plan.
            resources=tuple(sorted(resources, key=lambda resource: (resource.name, resource.type))),
            rich_parameters=self._rich_parameters(module),
        )

    def cost(self) -> int:
        return sum(details.daily_cost for details in self._details().values())

    def _managed(self, resource_type: str) -> list[Entry]:
        """Return the managed entries of a type, sorted by label, instances in the order of the plan."""
        found = [e for e in self.entries if e.mode == "managed" and e.type == resource_type]
        return sorted(found, key=lambda entry: (entry.label, entry.position))

    # ------------------------------------------------------------------ resources
    def _resource(self, entry: Entry, agents: list[Agent], details: _MetadataDetails) -> Resource:
        instance_type = plan_values.INSTANCE_TYPE_ATTRIBUTES.get(entry.type)
        is_stub = entry.label in self.stub_names
        return Resource(
            name=self.stub_names[entry.label] if is_stub else entry.name,
            type=MODULE if is_stub else entry.type,
            agents=tuple(sorted(agents, key=lambda agent: agent.name)),
            metadata=tuple(details.items),
            hide=details.hide,
            icon=details.icon,
            daily_cost=details.daily_cost,
            instance_type=entry.values.text(instance_type) if instance_type else "",
            instance_key=entry.instance_key,
        )

    def _details(self) -> dict[str, _MetadataDetails]:
        """Return the metadata by the address of its resource. Costs add up."""
        details: dict[str, _MetadataDetails] = {}
        for entry in self._managed(METADATA):
            target = self._resource_of_metadata(entry)
            if target is None:
                continue
            found = details.setdefault(target.address, _MetadataDetails())
            found.hide = entry.values.boolean("hide")
            found.icon = entry.values.text("icon")
            found.daily_cost += entry.values.integer("daily_cost")
            items = plan_values.metadata_items(entry.values)
            found.items += [replace(item, instance_key=entry.instance_key) for item in items]
            key = _repeated((item.key, item.instance_key) for item in found.items)
            if key is not None:
                raise EngineError(f'the metadata of {target.type}.{target.shown} has the key "{key[0]}" twice')
        return details

    def _resource_of_metadata(self, entry: Entry) -> Entry | None:
        by_id = self.resources.with_id(entry.values.raw("resource_id"))
        if by_id:
            return by_id[0]
        configured = self.configured.get(entry.label)
        if configured is not None:
            nodes = configured.nodes("resource_id")
            described = self.graph.nearest(nodes, self.known_resources, Direction.DEPENDENCIES)
            if described:
                label = next((label for label in described if label in self.resources.by_label), None)
                return self._instance(entry, label, configured.named_key("resource_id", label)) if label else None
        nearest = self.graph.nearest([entry.label], self.resources.by_label, Direction.DEPENDENCIES)
        return self._instance(entry, nearest[0]) if nearest else None

    def _instance(self, entry: Entry, label: str, named: str | None = None) -> Entry:
        """Return the instance of a resource's label that an entry belongs to."""
        instances = self.resources if label in self.resources.by_label else self.stub_resources
        found = instances.holder(label, entry.values.raw("id")) if len(instances.by_label[label]) > 1 else None
        if found is not None:
            return found
        matching = instances.matching(label, entry.keys, named)
        siblings = self.entries.places(entry.label)
        # Where the keys do not tell, the order decides between equal numbers of instances.
        is_open = len(matching) == len(instances.by_label[label]) == len(siblings)
        return matching[siblings[entry.address] if is_open else 0]

    # ------------------------------------------------------------------ agents and apps
    def _check_agent_names(self) -> None:
        """Reject two agents with one name. Instances share the name of their resource."""
        names = {label: found[0].name for label, found in self.agents.by_label.items()}
        name = _repeated(names.values())
        if name is not None:
            raise EngineError(f'two agents are named "{name}": the names of coder_agent resources must differ')

    def _resource_of_agent(self, entry: Entry) -> Entry | None:
        label = entry.label
        if label not in self.graph:
            raise EngineError(f'agent "{entry.name}" is missing from the dependency graph')
        nearest = self.graph.nearest([label], self.resources.by_label, Direction.DEPENDANTS)
        if not nearest and len(self.stub_resources):
            elsewhere = self.known_resources - self.known_stub_resources
            if not self.graph.nearest([label], elsewhere, Direction.DEPENDANTS):
                nearest = self.graph.nearest([label], self.stub_resources.by_label, Direction.DEPENDANTS)
        return self._instance(entry, nearest[0]) if nearest else None

    def _instance_id(self, entry: Entry, machine: Entry) -> str:
        """Return the instance id that identifies a machine: from the template, else the machine's own."""
        agent_id = entry.values.raw("id")
        for link in self._managed(AGENT_INSTANCE):
            if agent_id is not None and link.values.raw("agent_id") == agent_id:
                return link.values.text("instance_id")
        attribute = plan_values.INSTANCE_ID_ATTRIBUTES.get(machine.type)
        return machine.values.text(attribute) if attribute else ""

    def _apps(self) -> dict[str, list[App]]:
        """Return the apps by the address of their agent."""
        apps: dict[str, list[App]] = {}
        owners: dict[str, str] = {}
        for entry in self._managed(APP):
            found = replace(plan_values.app(entry.name, entry.values), instance_key=entry.instance_key)
            # Instances can share a slug if their agents differ.
            is_taken = owners.setdefault(found.slug, entry.label) != entry.label
            for agent in self._agents_of_app(entry):
                own = apps.setdefault(agent.address, [])
                is_taken = is_taken or any(app.slug == found.slug for app in own)
                own.append(found)
            if is_taken:
                raise EngineError(f'two apps have the slug "{found.slug}": slugs must differ within a template')
        return apps

    def _agents_of_app(self, entry: Entry) -> list[Entry]:
        """Return an app's agents, empty if its agent is not part of this plan."""
        by_id = self.agents.with_id(entry.values.raw("agent_id"))
        if by_id:
            return by_id
        configured = self.configured.get(entry.label)
        nodes = configured.nodes("agent_id") if configured is not None else []
        referred = self._agents_behind(nodes)
        candidates = [
            agent
            for label in referred
            for agent in self.agents.matching(
                label, entry.keys, configured.named_key("agent_id", label) if configured is not None else None
            )
        ]
        if len(candidates) > 1:
            names = ", ".join(sorted(agent.shown for agent in candidates))
            self.warn(f'the agent of app "{entry.shown}" is known only after an apply, it is one of: {names}')
        if referred:
            return candidates
        if len(self.agents) <= 1:
            return list(self.agents)
        neighbours = [agent for agent in self.agents if agent.module == entry.module]
        if not neighbours:
            names = ", ".join(sorted(agent.shown for agent in self.agents))
            raise EngineError(f'cannot determine which agent app "{entry.shown}" belongs to: {names}')
        return [agent for agent in neighbours if agent.keys == entry.keys] or neighbours

    def _agents_behind(self, nodes: list[str]) -> list[str]:
        """Return the labels of all agents that an expression with these references can choose, sorted."""
        passing_on = [node for node in nodes if node in self.known_agents or _PASSED_ON.match(node)]
        # Each reference counts: the agent that is fewest steps away need not be the chosen one.
        found = {
            label
            for node in passing_on
            for label in self.graph.nearest([node], self.known_agents, Direction.DEPENDENCIES)
        }
        return sorted(found) or self.graph.nearest(nodes, self.known_agents, Direction.DEPENDENCIES)

    # ------------------------------------------------------------------ rich parameters
    def _rich_parameters(self, module: Module | None) -> tuple[RichParameter, ...]:
        order = {label: index for index, label in enumerate(module.parameter_order if module else ())}
        found: list[tuple[int, str, int, RichParameter]] = []
        for entry in self.entries:
            if entry.mode != "data" or entry.type != PARAMETER:
                continue
            configured = self.configured.get(entry.label)
            arguments = configured.block_arguments("validation") if configured is not None else None
            parameter = plan_values.rich_parameter(entry.name, entry.values, arguments or None)
            parameter = replace(parameter, instance_key=entry.instance_key)
            place = order.get(entry.label, len(order))
            # Instances keep the order of the plan; parameters of unknown origin are sorted by name.
            found.append((place, parameter.name if place == len(order) else "", entry.position, parameter))
        name = _repeated(parameter.name for *_, parameter in found)
        if name is not None:
            raise EngineError(f'two parameters are named "{name}": the names of coder_parameter must differ')
        found.sort(key=lambda item: item[:3])
        return tuple(parameter for *_, parameter in found)


def _repeated(names: Iterable[_Name]) -> _Name | None:
    """Return the first name that occurs more than once, or None."""
    counts = Counter(names)
    return next((name for name, count in counts.items() if count > 1), None)
