"""A graph of the resources of a workspace, their agents, and the apps of the agents, from left to right.

SVG rendered by the server, like the charts: no style attributes, no script. The page has the same data as a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from django.templatetags.static import static
from django.utils.safestring import SafeString, mark_safe

from provisioning.models import WorkspaceAgent, WorkspaceResource

WIDTH = 204
HEIGHT = 48
COLUMN_GAP = 46
ROW_GAP = 14
# More resources are not drawn; those with agents come first. The table has all of them.
DRAWN_AT_MOST = 40
TITLE_CHARACTERS = 21
KIND_CHARACTERS = 22

# Symbols by words in the type of a resource; the first match counts.
SYMBOLS = (
    ("container", "container"),
    ("pod", "container"),
    ("deployment", "container"),
    ("volume", "hard-drive"),
    ("disk", "hard-drive"),
    ("bucket", "database"),
    ("image", "package"),
    ("network", "network"),
    ("subnet", "network"),
    ("firewall", "shield"),
    ("security", "shield"),
    ("key", "key-round"),
    ("secret", "key-round"),
    ("instance", "server"),
    ("machine", "server"),
    ("server", "server"),
    ("droplet", "server"),
    ("database", "database"),
    ("record", "globe"),
    ("file", "file-text"),
)


@dataclass(frozen=True, slots=True)
class _Node:
    """A box in a column and a row, which may be a fraction. ``parent`` is the box it is connected to."""

    title: str
    kind: str
    symbol: str
    column: int
    row: float
    parent: "_Node | None" = None
    classes: str = ""

    @property
    def left(self) -> float:
        return 1 + self.column * (WIDTH + COLUMN_GAP)

    @property
    def top(self) -> float:
        return 1 + self.row * (HEIGHT + ROW_GAP)


def symbol_of(resource_type: str) -> str:
    """The symbol for a type of resource."""
    return next((symbol for word, symbol in SYMBOLS if word in resource_type), "box")


def resource_graph(resources: Sequence[WorkspaceResource], label: str) -> SafeString:
    """Return the graph of resources with prefetched agents and apps; ``label`` is its description."""
    held = [(resource, list(resource.agents.all())) for resource in resources]
    ordered = sorted(held, key=lambda pair: not pair[1])  # with agents first
    nodes = _layout(ordered[:DRAWN_AT_MOST])
    if not nodes:
        return SafeString()
    width = max(node.left for node in nodes) + WIDTH + 1
    height = max(node.top for node in nodes) + HEIGHT + 1
    # Texts are escaped; the rest is numbers and constants. No template: there may be many boxes.
    edges = "".join(_edge(node.parent, node) for node in nodes if node.parent)
    boxes = "".join(map(_box, nodes))
    return mark_safe(  # noqa: S308
        f'<svg width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(label)}">{edges}{boxes}</svg>'
    )


def _layout(resources: Sequence[tuple[WorkspaceResource, Sequence[WorkspaceAgent]]]) -> list[_Node]:
    """Place resources and their agents: a box spans the rows of its children and is centred on them."""
    nodes: list[_Node] = []
    row = 0.0
    for resource, agents in resources:
        apps = [list(agent.apps.all()) for agent in agents]
        sizes = [max(len(agent_apps), 1) for agent_apps in apps]
        classes = "agent" if agents else ""
        size = sum(sizes) or 1
        owner = _Node(resource.label, resource.type, symbol_of(resource.type), 0, row + (size - 1) / 2, classes=classes)
        nodes.append(owner)
        for agent, agent_apps, rows in zip(agents, apps, sizes, strict=True):
            platform = f"{agent.operating_system}/{agent.architecture}"
            holder = _Node(agent.label, platform, "square-terminal", 1, row + (rows - 1) / 2, owner)
            nodes.append(holder)
            for index, app in enumerate(agent_apps):
                share = f"app, for {app.sharing_level}"
                nodes.append(_Node(app.display_name or app.slug, share, "app-window", 2, row + index, holder))
            row += rows
        row += 0 if agents else 1
    return nodes


def _edge(start: _Node, end: _Node) -> str:
    x, y = start.left + WIDTH, start.top + HEIGHT / 2
    to_x, to_y = end.left - 6, end.top + HEIGHT / 2
    middle = (x + to_x) / 2
    return (
        f'<path class="edge" d="M{x:g} {y:g}C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}"/>'
        f'<path class="arrow-head" d="M{to_x - 1:g} {to_y - 4:g}l7 4l-7 4z"/>'
    )


def _box(node: _Node) -> str:
    left, top = node.left, node.top
    title, kind = escape(node.title), escape(node.kind)
    short_title, short_kind = escape(_short(node.title, TITLE_CHARACTERS)), escape(_short(node.kind, KIND_CHARACTERS))
    return (
        f'<g class="node {node.classes}"><title>{title}: {kind}</title>'
        f'<rect x="{left:g}" y="{top:g}" width="{WIDTH}" height="{HEIGHT}" rx="9"/>'
        f'<use href="{static("console/icons.svg")}#{node.symbol}" x="{left + 12:g}" y="{top + 15:g}" width="18" '
        f'height="18"/><text x="{left + 40:g}" y="{top + 21:g}">{short_title}</text>'
        f'<text class="kind" x="{left + 40:g}" y="{top + 37:g}">{short_kind}</text></g>'
    )


def _short(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}\N{HORIZONTAL ELLIPSIS}"
