"""Finds the view of a path segment by segment.

Django tries one route after the other, and describes what it found once for each level of its URL configuration:
for the API's hundred routes that took a twentieth of a short read. The routes stay Django's, as ``urls.py`` has them,
and the first one in their order that matches is found, as by Django.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from django.urls import ResolverMatch, URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

ANYTHING = re.compile(r"<str:(\w+)>")


@dataclass(slots=True)
class Route:
    """A route, where it stands among the others, and its names for the segments that may be anything."""

    order: int
    pattern: URLPattern
    text: str
    names: list[str]

    def match(self, values: list[str]) -> ResolverMatch:
        pattern = self.pattern
        captured = dict(zip(self.names, values, strict=True))
        return ResolverMatch(
            pattern.callback,
            (),
            {**captured, **pattern.default_args},
            pattern.name,
            route=self.text,
            captured_kwargs=captured,
            extra_kwargs=pattern.default_args,
        )


@dataclass(slots=True)
class Node:
    """What may follow the segments so far: certain ones, or ``anything``; ``route`` is the one that ends here."""

    literals: dict[str, "Node"] = field(default_factory=dict)
    anything: "Node | None" = None
    route: Route | None = None


class Routes:
    """Routes below one prefix, each made of literal segments and ``<str:name>`` ones."""

    def __init__(self, prefix: str) -> None:
        """``prefix`` as in ``urls.py``: ``api/v2/``."""
        self._prefix = f"/{prefix}"
        self._root = Node()
        self._count = 0

    @classmethod
    def below(cls, prefix: str) -> Self:
        """The routes that the URL configuration includes below the prefix, ahead of all else and without arguments for
        all of them. Raises TypeError for routes of another kind."""
        routes = cls(prefix)
        for included in get_resolver().url_patterns:
            if isinstance(included, URLResolver) and str(included.pattern) == prefix:
                for pattern in included.url_patterns:
                    routes.add(pattern)
        return routes

    def add(self, pattern: Any) -> None:
        """Add a route behind the others. Raises TypeError."""
        route = pattern.pattern
        if not isinstance(pattern, URLPattern) or not isinstance(route, RoutePattern):
            raise TypeError(f"not a plain route: {pattern}")
        text, names, node = str(route), [], self._root
        for segment in text.split("/"):
            if anything := ANYTHING.fullmatch(segment):
                names.append(anything[1])
                if node.anything is None:
                    node.anything = Node()
                node = node.anything
            elif "<" in segment:
                raise TypeError(f"not a whole segment of any text: {text}")
            else:
                node = node.literals.setdefault(segment, Node())
        self._count += 1
        if node.route is None:  # else an earlier one hides it
            node.route = Route(self._count, pattern, self._prefix[1:] + text, names)

    def match(self, path: str) -> ResolverMatch | None:
        """What Django's resolver would answer for a path; None when no route matches."""
        if not path.startswith(self._prefix):
            return None
        segments = path[len(self._prefix) :].split("/")
        found = min(_matching(self._root, segments, 0, []), key=_order, default=None)
        return None if found is None else found[0].match(found[1])


def _matching(node: Node, segments: list[str], at: int, values: list[str]) -> Iterator[tuple[Route, list[str]]]:
    """Every route that matches from here on, with the values of its names."""
    if at == len(segments):
        if node.route is not None:
            yield node.route, values
        return
    segment = segments[at]
    if (literal := node.literals.get(segment)) is not None:
        yield from _matching(literal, segments, at + 1, values)
    if node.anything is not None and segment:
        yield from _matching(node.anything, segments, at + 1, [*values, segment])


def _order(found: tuple[Route, list[str]]) -> int:
    return found[0].order
