"""The console's navigation. Apps contribute its entries as ``navigation``."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from coderproj.base.contributions import contributions
from coderproj.console.addresses import page_url
from coderproj.identity.actor import Actor


class Section(StrEnum):
    """Headings of the navigation, in their order."""

    BUILD = "Build"
    ACCESS = "Access"
    OPERATE = "Operate"


def always(actor: Actor) -> bool:
    return True


def no_count(actor: Actor) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A page in the navigation.

    ``key`` is the ``section`` of the entry's pages; ``route`` is a URL name, or a path. ``offered`` returns
    True if the actor may use the page, ``count`` the text beside its label (at most one query).
    """

    key: str
    label: str
    section: Section
    icon: str
    route: str
    order: int
    offered: Callable[[Actor], bool] = always
    count: Callable[[Actor], str] = no_count


@dataclass(frozen=True, slots=True)
class Link:
    """An entry as one actor sees it."""

    key: str
    label: str
    icon: str
    url: str
    count: str


def navigation_for(actor: Actor) -> list[tuple[str, list[Link]]]:
    """Headings with the links that the actor may use; headings without any are left out."""
    sections: dict[Section, list[Link]] = {section: [] for section in Section}
    entries: tuple[Entry, ...] = contributions("navigation")
    for entry in sorted(entries, key=lambda entry: entry.order):
        if entry.offered(actor):
            url = entry.route if entry.route.startswith("/") else page_url(entry.route)
            sections[entry.section].append(Link(entry.key, entry.label, entry.icon, url, entry.count(actor)))
    return [(section.value, links) for section, links in sections.items() if links]
