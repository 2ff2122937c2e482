"""Search of everything at once. Apps contribute what can be found as ``search_sources``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.base.contributions import contributions
from coderproj.console.views import SignedInPage
from coderproj.identity.actor import Actor

# So many of each kind are shown; the lists themselves have the rest.
SHOWN_OF_EACH = 6
SHORTEST = 2
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that was found: where it is, what it is called, and what tells it apart."""

    url: str
    name: str
    note: str = ""
    icon: str = "box"


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of things. ``find`` gets the actor, the text and how many to find, and answers what the actor may see,
    best first (at most two queries). ``all_url`` is the list with the same search, where there is one, before the
    quoted text."""

    label: str
    order: int
    find: Callable[[Actor, str, int], Sequence[Hit]]
    all_url: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of one kind; ``more`` when there is more than is shown."""

    source: Source
    hits: Sequence[Hit]
    more: bool


def search(actor: Actor, text: str) -> list[Found]:
    """What the actor may see of that name, or id; kinds without any are left out."""
    found = []
    sources: tuple[Source, ...] = contributions("search_sources")
    for source in sorted(sources, key=lambda source: source.order):
        hits = source.find(actor, text, SHOWN_OF_EACH + 1)
        if hits:
            found.append(Found(source, hits[:SHOWN_OF_EACH], len(hits) > SHOWN_OF_EACH))
    return found


class Search(SignedInPage):
    """Everything of that name that one may see. The field in the head of every page leads here."""

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
