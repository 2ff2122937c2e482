"""Convert Terraform's plan JSON and graph to resources, agents, apps, metadata and rich parameters.

Instances of ``count`` and ``for_each`` become one resource. An agent belongs to the nearest resource that depends on
it, metadata to the resource that it describes. Ids are unknown at plan time, so apps and metadata are assigned by the
references in the configuration.
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
from .stub import STUB_RESOURCE_ADDRESS

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
    """Convert a plan, given the output of ``terraform show -json PLANFILE`` and ``terraform graph -type=plan``.

    With ``module`` rich parameters are in source order, without it sorted by name. ``stubbed_modules`` are the keys of
    calls (``network.subnets``) that are replaced by stubs: such a module counts as a resource if nothing else depends
    on an agent. Sensitive values are replaced. Raises EngineError if names or slugs are not unique, or if the agent of
    an app cannot be determined.
    """
    planned = plan_json.get("planned_values") or {}
    prior = (plan_json.get("prior_state") or {}).get("values") or {}
    entries = [
        entry
        for root, managed in ((prior, False), (planned, True))
        for entry in _entries(root.get("root_module") or {}, reveal=False)
        # Managed resources of the prior state can be about to be destroyed.
        if managed or entry.mode == "data"
    ]
    configuration = (plan_json.get("configuration") or {}).get("root_module") or {}
    stub_resources = {_stub_resource_label(key): key for key in stubbed_modules}
    return _Conversion(entries, dict(_configured(configuration)), Graph.parse(graph_dot), stub_resources).result(module)


def _stub_resource_label(key: str) -> str:
    """Return the label of the resource that represents a stubbed module."""
    return "".join(f"module.{name}." for name in key.split(".")) + STUB_RESOURCE_ADDRESS


def state_result(state_json: Json, graph_dot: str, module: Module | None = None) -> PlanResult:
    """Convert a state, given the output of ``terraform show -json`` and ``terraform graph -type=plan``.

    Unlike in a plan, agents have tokens and instance ids, and sensitive values are included except in metadata:
    workspaces need them to run.
    """
    root = (state_json.get("values") or {}).get("root_module") or {}
    return _Conversion(list(_entries(root, reveal=True)), {}, Graph.parse(graph_dot), {}).result(module)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A resource or data source. ``module`` is "" or ends with a dot; ``label`` is its name in the graph."""

    module: str
    mode: str
    type: str
    name: str
    values: Values

    @property
    def label(self) -> str:
        return f"{self.module}{'data.' if self.mode == 'data' else ''}{self.type}.{self.name}"


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


def _entries(root: Json, *, reveal: bool) -> Iterator[_Entry]:
    """Yield the entries of a tree of modules, children before their parent."""
    for child in root.get("child_modules") or ():
        yield from _entries(child, reveal=reveal)
    address = root.get("address")
    module = f"{without_instance_keys(address)}." if address else ""
    for resource in root.get("resources") or ():
        values = Values(resource.get("values") or {}, resource.get("sensitive_values") or {}, reveal)
        mode = resource.get("mode", "managed")
        yield _Entry(module, mode, resource["type"], resource["name"], values)


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
        entries: Iterable[_Entry],
        configured: dict[str, _ConfiguredResource],
        graph: Graph,
        stub_resources: dict[str, str],
    ) -> None:
        # Instances have the same label; the last one represents all.
        self.entries = {entry.label: entry for entry in entries}
        self.configured = configured
        self.graph = graph
        self.resources = {
            label: entry
            for label, entry in self.entries.items()
            if entry.mode == "managed" and not entry.type.startswith(CODER_PREFIX) and label not in stub_resources
        }
        # A stubbed module counts as a resource with its name if it has an agent.
        self.stub_resources = {
            label: replace(self.entries[label], type=MODULE, name=key.rpartition(".")[2])
            for label, key in stub_resources.items()
            if label in self.entries
        }
        self.agents = {entry.label: entry for entry in self._managed(AGENT)}
        # Includes agents in the configuration that are not part of this transition.
        self.known_agents = self.agents.keys() | {
            label for label, found in configured.items() if found.type == AGENT and found.mode == "managed"
        }
        self.known_resources = self.resources.keys() | {
            label
            for label, found in configured.items()
            if found.mode == "managed" and not found.type.startswith(CODER_PREFIX)
        }
        self.known_stub_resources = stub_resources.keys()

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
        self.resources |= {label: self.stub_resources[label] for label in agents.keys() & self.stub_resources.keys()}
        details = self._details()
        ordered = sorted(self.resources.items(), key=lambda item: (item[1].name, item[1].type, item[0]))
        return PlanResult(
            resources=tuple(
                self._resource(entry, agents.get(label, []), details.get(label, _MetadataDetails()))
                for label, entry in ordered
            ),
            rich_parameters=self._rich_parameters(module),
        )

    def _managed(self, resource_type: str) -> list[_Entry]:
        """Return the managed entries of a type, sorted by label."""
        found = [e for e in self.entries.values() if e.mode == "managed" and e.type == resource_type]
        return sorted(found, key=lambda entry: entry.label)

    @staticmethod
    def _labels_by_id(entries: dict[str, _Entry], wanted: Any) -> list[str]:
        """Return the labels of the entries with an id. Ids are known only after an apply."""
        if not isinstance(wanted, str) or not wanted:
            return []
        return [label for label, entry in sorted(entries.items()) if entry.values.raw("id") == wanted]

    # ------------------------------------------------------------------ resources
    def _resource(self, entry: _Entry, agents: list[Agent], details: _MetadataDetails) -> Resource:
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

    def _details(self) -> dict[str, _MetadataDetails]:
        details: dict[str, _MetadataDetails] = {}
        for entry in self._managed(METADATA):
            target = self._resource_of_metadata(entry)
            if target is None:
                continue
            found = details.setdefault(target, _MetadataDetails())
            found.hide = entry.values.boolean("hide")
            found.icon = entry.values.text("icon")
            found.daily_cost = entry.values.integer("daily_cost")
            found.items += plan_values.metadata_items(entry.values)
            key = _repeated(item.key for item in found.items)
            if key is not None:
                resource = self.resources[target]
                raise EngineError(f'the metadata of {resource.type}.{resource.name} has the key "{key}" twice')
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
        if not nearest and self.stub_resources:
            elsewhere = self.known_resources - self.known_stub_resources
            if not self.graph.nearest([label], elsewhere, Direction.DEPENDANTS):
                nearest = self.graph.nearest([label], self.stub_resources, Direction.DEPENDANTS)
        return nearest[0] if nearest else None

    def _instance_id(self, entry: _Entry, target: str) -> str:
        """Return the instance id that identifies a machine: from the template, else the machine's own."""
        agent_id = entry.values.raw("id")
        for link in self._managed(AGENT_INSTANCE):
            if agent_id is not None and link.values.raw("agent_id") == agent_id:
                return link.values.text("instance_id")
        machine = self.resources.get(target, self.stub_resources.get(target, entry))
        attribute = plan_values.INSTANCE_ID_ATTRIBUTES.get(machine.type)
        return machine.values.text(attribute) if attribute else ""

    def _apps(self) -> dict[str, list[App]]:
        """Return the apps by the label of their agent."""
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
        """Return the labels of an app's agents, empty if its agent is not part of this plan."""
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
            raise EngineError(f'cannot determine which agent app "{entry.name}" belongs to: {names}')
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
    """Return the first name that occurs more than once, or None."""
    counts = Counter(names)
    return next((name for name, count in counts.items() if count > 1), None)
