"""Which providers a module uses, and which parts of them."""

from collections.abc import Iterable, Iterator

from provisioning.engine.provider_usage import AT_LEAST, BlockUsage, Hints, ProviderUsage, Variant, merge_hints

from .literals import as_text
from .syntax import INDEX, Block, Body, Expression, NotConstantError, Traversal, without_instance_key

DEFAULT_HOST = "registry.terraform.io"
DEFAULT_NAMESPACE = "hashicorp"
BUILTIN_LOCAL_NAME = "terraform"
CODER = "coder"

# Arguments and blocks that belong to Terraform, not to the provider.
META_ARGUMENTS = frozenset({"count", "for_each", "depends_on", "provider"})
META_BLOCKS = frozenset({"lifecycle", "provisioner", "connection"})
PROVIDER_META_ARGUMENTS = frozenset({"alias", "version"})


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
    source = expression.elements().get("source")
    try:
        # Before Terraform 0.13 the value was only a version constraint.
        return as_text(source.constant()) if source is not None else ""
    except NotConstantError:
        return ""


class UsageCollector:
    """Collects the provider usage of all modules of a template."""

    def __init__(self) -> None:
        self.usage: dict[str, ProviderUsage] = {}

    def add_module(self, blocks: list[Block], references: Iterable[Traversal]) -> dict[str, str]:
        """Add one module. Returns the addresses of its declared and implied providers by local name."""
        addresses = declared_providers(blocks)
        known: dict[tuple[str, ...], list[BlockUsage]] = {}
        for address in addresses.values():
            self._provider(address)
        for block in with_nested_data(blocks):
            if block.type == "provider":
                address = addresses.setdefault(block.labels[0], full_address(block.labels[0]))
                self._provider(address).configuration.merge(body_usage(block.body, ignored=PROVIDER_META_ARGUMENTS))
            elif block.type in ("resource", "data"):
                kind, name = block.labels
                local = _local_name(block)
                if local == BUILTIN_LOCAL_NAME:
                    continue
                provider = self._provider(addresses.setdefault(local, full_address(local)))
                kinds = provider.resources if block.type == "resource" else provider.data_sources
                usage = kinds.setdefault(kind, BlockUsage())
                usage.merge(body_usage(block.body, ignored=META_ARGUMENTS, ignored_blocks=META_BLOCKS))
                if block.type == "resource":
                    known[kind, name] = [usage]
                else:
                    variant = Variant(_constants(block.body))
                    usage.variants.append(variant)
                    known["data", kind, name] = [usage, variant.usage]
        for reference in references:
            length = 3 if reference[0] == "data" else 2
            for read in known.get(reference[:length], ()):
                _add_read(read, reference[length:])
        return addresses

    def collected(self) -> dict[str, ProviderUsage]:
        """Return the usage by address, without providers that need no installation."""
        return {address: self.usage[address] for address in sorted(self.usage) if not needs_no_installation(address)}

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


def _local_name(block: Block) -> str:
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
