"""The global search. Apps contribute what it finds as ``search_sources``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.base.contributions import contributions
from coderproj.console.views import SignedInPage
from coderproj.identity.actor import Actor

# Hits shown of each kind; the lists have the rest.
SHOWN_OF_EACH = 6
SHORTEST = 2
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Hit:
    """A hit: its page, its name, and a note that distinguishes it from others of the same name."""

    url: str
    name: str
    note: str = ""
    icon: str = "box"


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of objects. ``find(actor, text, count)`` returns visible hits, the best first, in at most two queries.
    ``all_url`` is the address of the list up to the search text; empty if no list has this search."""

    label: str
    order: int
    find: Callable[[Actor, str, int], Sequence[Hit]]
    all_url: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The hits of one kind; ``more`` if there are more than shown."""

    source: Source
    hits: Sequence[Hit]
    more: bool


def search(actor: Actor, text: str) -> list[Found]:
    """Return the visible objects with this name or id; kinds without hits are omitted."""
    found = []
    sources: tuple[Source, ...] = contributions("search_sources")
    for source in sorted(sources, key=lambda source: source.order):
        hits = source.find(actor, text, SHOWN_OF_EACH + 1)
        if hits:
            found.append(Found(source, hits[:SHOWN_OF_EACH], len(hits) > SHOWN_OF_EACH))
    return found


class Search(SignedInPage):
    """The results of the global search, which every page has a field for."""

    section = "search"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        text = request.GET.get("q", "").strip()[:LONGEST]
        long_enough = len(text) >= SHORTEST
        context = {
            "q": text,
            "found": search(self.actor, text) if long_enough else [],
            "too_short": bool(text) and not long_enough,
        }
        return self.show("console/search.html", context)
