"""What a workspace consists of, as a picture: resources, their agents, and the agents' apps, from left to right.

SVG made by the server, like the charts: no style attributes, no script. The same as a table stands beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from provisioning.models import WorkspaceResource

WIDTH = 204
HEIGHT = 48
COLUMN_GAP = 46
ROW_GAP = 14
# Of more resources only the first are drawn, those with agents before others: the table has all.
DRAWN_AT_MOST = 40
TITLE_CHARACTERS = 21
KIND_CHARACTERS = 22

# Words in the type of a resource, and the symbol for it; the first one counts.
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
    """A box at a column and at a row, which may lie between two others. ``parent`` is what it hangs on."""

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
    """The picture of resources whose agents and apps were fetched; ``label`` says in words what it shows."""
    ordered = sorted(resources, key=lambda resource: not resource.agents.all())
    nodes = _layout(ordered[:DRAWN_AT_MOST])
    if not nodes:
        return SafeString()
    width = max(node.left for node in nodes) + WIDTH + 1
    height = max(node.top for node in nodes) + HEIGHT + 1
    return format_html(
        '<svg width="{}" height="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>',
        f"{width:g}",
        f"{height:g}",
        f"{width:g}",
        f"{height:g}",
        label,
        format_html_join("", "{}", ((_edge(node.parent, node),) for node in nodes if node.parent)),
        format_html_join("", "{}", ((_box(node),) for node in nodes)),
    )


def _layout(resources: Sequence[WorkspaceResource]) -> list[_Node]:
    """Every box gets as many rows as hang on it, and stands in their middle."""
    nodes: list[_Node] = []
    row = 0.0
    for resource in resources:
        agents = list(resource.agents.all())
        sizes = [max(len(agent.apps.all()), 1) for agent in agents]
        classes = "agent" if agents else ""
        size = sum(sizes) or 1
        owner = _Node(resource.name, resource.type, symbol_of(resource.type), 0, row + (size - 1) / 2, classes=classes)
        nodes.append(owner)
        for agent, rows in zip(agents, sizes, strict=True):
            platform = f"{agent.operating_system}/{agent.architecture}"
            holder = _Node(agent.name, platform, "square-terminal", 1, row + (rows - 1) / 2, owner)
            nodes.append(holder)
            for index, app in enumerate(agent.apps.all()):
                share = f"app, for {app.sharing_level}"
                nodes.append(_Node(app.display_name or app.slug, share, "app-window", 2, row + index, holder))
            row += rows
        row += 0 if agents else 1
    return nodes


def _edge(start: _Node, end: _Node) -> SafeString:
    x, y = start.left + WIDTH, start.top + HEIGHT / 2
    to_x, to_y = end.left - 6, end.top + HEIGHT / 2
    middle = (x + to_x) / 2
    return format_html(
        '<path class="edge" d="{}"/><path class="arrow-head" d="{}"/>',
        f"M{x:g} {y:g}C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}",
        f"M{to_x - 1:g} {to_y - 4:g}l7 4l-7 4z",
    )


def _box(node: _Node) -> SafeString:
    return format_html(
        '<g class="node {}"><title>{}: {}</title><rect x="{}" y="{}" width="{}" height="{}" rx="9"/>'
        '<use href="{}#{}" x="{}" y="{}" width="18" height="18"/>'
        '<text x="{}" y="{}">{}</text><text class="kind" x="{}" y="{}">{}</text></g>',
        node.classes,
        node.title,
        node.kind,
        f"{node.left:g}",
        f"{node.top:g}",
        WIDTH,
        HEIGHT,
        static("console/icons.svg"),
        node.symbol,
        f"{node.left + 12:g}",
        f"{node.top + 15:g}",
        f"{node.left + 40:g}",
        f"{node.top + 21:g}",
        _short(node.title, TITLE_CHARACTERS),
        f"{node.left + 40:g}",
        f"{node.top + 37:g}",
        _short(node.kind, KIND_CHARACTERS),
    )


def _short(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}\N{HORIZONTAL ELLIPSIS}"
