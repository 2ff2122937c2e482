"""Which providers a module uses, and which parts of them."""

from collections.abc import Iterable, Iterator

from provisioning.engine.provider_usage import AT_LEAST, BlockUsage, Hints, ProviderUsage, Variant, merge_hints

from .literals import as_text
from .native import PROVIDER_FUNCTION
from .syntax import INDEX, Block, Body, Expression, NotConstantError, Traversal, without_instance_key
from .value_types import TypeReader

DEFAULT_HOST = "registry.terraform.io"
DEFAULT_NAMESPACE = "hashicorp"
BUILTIN_LOCAL_NAME = "terraform"
CODER = "coder"
METADATA, DAILY_COST = "coder_metadata", "daily_cost"

# Arguments and blocks that belong to Terraform, not to the provider.
META_ARGUMENTS = frozenset({"count", "for_each", "depends_on", "provider"})
META_BLOCKS = frozenset({"lifecycle", "provisioner", "connection"})
PROVIDER_META_ARGUMENTS = frozenset({"alias", "version"})


# The field of ProviderUsage by type of block.
_KINDS = {"resource": "resources", "data": "data_sources", "ephemeral": "ephemeral_resources"}


def full_address(source: str) -> str:
    """Return a source with its host: ``kreuzwerker/docker`` → ``registry.terraform.io/kreuzwerker/docker``."""
    parts = source.split("/")
    if len(parts) == 1:
        parts = [DEFAULT_NAMESPACE, *parts]
    if len(parts) == 2:
        parts = [DEFAULT_HOST, *parts]
    return "/".join(parts)


def needs_no_installation(address: str) -> bool:
    """True if the provider is served by this application or built into Terraform."""
    host, _, rest = address.partition("/")
    return rest in (f"{CODER}/{CODER}", f"{DEFAULT_NAMESPACE}/{CODER}") or host == "terraform.io"


def declared_providers(blocks: Iterable[Block]) -> dict[str, str]:
    """Return the full addresses in ``required_providers`` by local name."""
    declared: dict[str, str] = {}
    for block in blocks:
        if block.type != "terraform":
            continue
        for required in block.body.blocks_of("required_providers"):
            for name, expression in required.body.attributes.items():
                declared[name] = full_address(_source(expression) or name)
    return declared


def _source(expression: Expression) -> str:
    # Before Terraform 0.13 the value was only a version constraint.
    return _constant_text(expression.elements().get("source"))


def _constant_text(expression: Expression | None) -> str:
    """Return a constant text, or an empty text: Terraform reports anything else in these places."""
    try:
        value = expression.constant() if expression is not None else ""
    except NotConstantError:
        return ""
    return value if isinstance(value, str) else ""


def version_constraints(blocks: Iterable[Block]) -> Iterator[tuple[str, str]]:
    """Yield the local names and version constraints in ``required_providers`` and ``provider`` blocks."""
    for block in blocks:
        if block.type == "provider":
            yield block.labels[0], _constant_text(block.body.attributes.get("version"))
        elif block.type == "terraform":
            for required in block.body.blocks_of("required_providers"):
                for name, expression in required.body.attributes.items():
                    elements = expression.elements()
                    yield name, _constant_text(elements.get("version") if elements else expression)


class UsageCollector:
    """Collects the provider usage of all modules of a template."""

    def __init__(self) -> None:
        self.usage: dict[str, ProviderUsage] = {}
        # For each module, by the identity of its blocks, the usage by address.
        self._known: dict[int, dict[tuple[str, ...], list[BlockUsage]]] = {}

    def add_module(self, blocks: list[Block], references: Iterable[Traversal]) -> dict[str, str]:
        """Add one module. Returns the addresses of its declared and implied providers by local name."""
        addresses = declared_providers(blocks)
        references = list(references)
        known = self._known[id(blocks)] = {}
        types = TypeReader(blocks)
        for address in addresses.values():
            self._provider(address)
        for block in with_nested_data(blocks):
            if block.type == "provider":
                address = addresses.setdefault(block.labels[0], full_address(block.labels[0]))
                self._provider(address).configuration.merge(body_usage(block.body, ignored=PROVIDER_META_ARGUMENTS))
            elif block.type in _KINDS:
                self._add_block(block, addresses, types, known)
            elif block.type == "module" and not _is_local(block):
                passed = block.body.attributes.get("providers")
                for expression in (passed.elements() if passed is not None else {}).values():
                    local = expression.keyword().partition(".")[0]
                    self._provider(addresses.get(local) or full_address(local)).is_passed = True
        for name, constraint in version_constraints(blocks):
            if constraint.strip():
                self._provider(addresses[name]).constraints.add(constraint.strip())
        for reference in references:
            if reference[0].startswith(PROVIDER_FUNCTION):
                self._add_call(addresses, reference)
        self.add_reads(blocks, references)
        return addresses

    def add_reads(self, blocks: list[Block], references: Iterable[Traversal]) -> None:
        """Add what is read of the objects of a module that was added before."""
        known = self._known[id(blocks)]
        for reference in references:
            length = 3 if reference[0] in ("data", "ephemeral") else 2
            for read in known.get(reference[:length], ()):
                _add_read(read, reference[length:])

    def _add_block(
        self,
        block: Block,
        addresses: dict[str, str],
        types: TypeReader,
        known: dict[tuple[str, ...], list[BlockUsage]],
    ) -> None:
        """Add a resource, data source or ephemeral resource; ``known`` is extended by its address."""
        kind, name = block.labels
        local = local_name(block)
        if local == BUILTIN_LOCAL_NAME:
            return
        provider = self._provider(addresses.setdefault(local, full_address(local)))
        kinds: dict[str, BlockUsage] = getattr(provider, _KINDS[block.type])
        usage = kinds.setdefault(kind, BlockUsage())
        found = body_usage(block.body, ignored=META_ARGUMENTS, ignored_blocks=META_BLOCKS)
        if block.type != "resource":
            _add_types(found, block.body, types)
        usage.merge(found)
        if block.type == "resource":
            known[kind, name] = [usage]
        else:
            variant = Variant(_constants(block.body))
            usage.variants.append(variant)
            known[block.type, kind, name] = [usage, variant.usage]

    def _add_call(self, addresses: dict[str, str], reference: Traversal) -> None:
        """Record the call of a function, ``provider::time::rfc3339_parse``, and what is read of its result."""
        parts = reference[0].split("::")
        if len(parts) == 3 and parts[1] in addresses:
            functions = self._provider(addresses[parts[1]]).functions
            merge_hints(functions.setdefault(parts[2], {}), hint_tree(reference[1:]))

    def collected(self) -> dict[str, ProviderUsage]:
        """Return the usage by address, without providers that need no installation."""
        return {address: self.usage[address] for address in sorted(self.usage) if not needs_no_installation(address)}

    @property
    def declares_costs(self) -> bool:
        """True if a resource says what another one costs a day, whatever the value is."""
        found = (usage.resources.get(METADATA) for usage in self.usage.values())
        return any(block is not None and DAILY_COST in block.attributes for block in found)

    def _provider(self, address: str) -> ProviderUsage:
        return self.usage.setdefault(address, ProviderUsage(address))


def body_usage(
    body: Body, ignored: frozenset[str] = frozenset(), ignored_blocks: frozenset[str] = frozenset()
) -> BlockUsage:
    """Return what a body sets. ``dynamic`` blocks count as the blocks they generate."""
    usage = BlockUsage(attributes=set(body.attributes) - ignored)
    for block in body.blocks:
        if block.type in ignored_blocks:
            continue
        name, inner = block.type, body_usage(block.body)
        if block.type == "dynamic" and block.labels:
            name = block.labels[0]
            inner = BlockUsage()
            for content in block.body.blocks_of("content"):
                inner.merge(body_usage(content.body))
        usage.blocks.setdefault(name, BlockUsage()).merge(inner)
    usage.attributes -= usage.blocks.keys()
    return usage


def _add_types(usage: BlockUsage, body: Body, types: TypeReader) -> None:
    """Add the types of arguments in nested blocks, and whether the blocks are repeated."""
    seen: set[str] = set()
    for block in body.blocks:
        bodies, name = [block.body], block.type
        if block.type == "dynamic" and block.labels:
            bodies, name = [content.body for content in block.body.blocks_of("content")], block.labels[0]
        nested = usage.blocks.get(name)
        if nested is None:
            continue
        nested.is_repeated |= block.type == "dynamic" or name in seen
        seen.add(name)
        for inner in bodies:
            found = BlockUsage(types={key: types.type_of(value) for key, value in inner.attributes.items()})
            nested.merge(found)
            _add_types(nested, inner, types)


def _constants(body: Body) -> dict[str, str | int | float | bool]:
    """Return the attributes with constant values."""
    found = {}
    for name, expression in body.attributes.items():
        try:
            value = expression.constant()
        except NotConstantError:
            continue
        if isinstance(value, str | int | float):
            found[name] = value
    return found


def _add_read(usage: BlockUsage, path: Traversal) -> None:
    """Record that a template reads ``path`` (``("status", "[]", "ip")``) of a resource."""
    path = without_instance_key(path)
    if not path:
        return
    name, rest = path[0], path[1:]
    if name in usage.blocks:
        usage.blocks[name].is_read = True
        _add_read(usage.blocks[name], rest)
        return
    usage.attributes.add(name)
    merge_hints(usage.hints.setdefault(name, {}), hint_tree(rest))


def hint_tree(path: Traversal) -> Hints:
    """Convert a path to hints: ``("a", "[]")`` is ``{"a": {"[]": {}}}``. A string index counts as a name. A numeric
    index implies a minimum length: ``("a", "[2]")`` is ``{"a": {"[]": {}, "#3": {}}}``."""
    tree: Hints = {}
    for step in reversed(path):
        if step.startswith('["'):
            tree = {step[2:-2]: tree}
        elif step.startswith("[") and step != INDEX:
            tree = {INDEX: tree, f"{AT_LEAST}{int(step[1:-1]) + 1}": {}}
        else:
            tree = {step: tree}
    return tree


def _is_local(block: Block) -> bool:
    try:
        return as_text(block.body.constant("source", "")).startswith(("./", "../"))
    except NotConstantError:
        return False


def local_name(block: Block) -> str:
    """Return the local name of the provider of a resource or data source."""
    provider = block.body.attributes.get("provider")
    if provider is not None:
        return provider.keyword().partition(".")[0]
    return block.labels[0].partition("_")[0]


def with_nested_data(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield the blocks of a module and the data sources inside its ``check`` blocks."""
    for block in blocks:
        yield block
        if block.type == "check":
            yield from (nested for nested in block.body.blocks_of("data") if len(nested.labels) == 2)
