"""Lists the API routes of the URL configuration."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import URLPattern, URLResolver, get_resolver

from coderproj.api.views import RouteNotFound

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
# Parameters that are names, not ids.
NAMES = {"templatename", "templateversionname", "groupname", "token", "scope", "name", "membername", "workspacename"}


@dataclass(frozen=True)
class Route:
    """A path with its view and the view's methods."""

    pattern: str
    view: type
    methods: tuple[str, ...]

    def path(self, **values: str) -> str:
        """Return the path with its parameters replaced by the given values, else by ids that do not exist."""

        def fill(match: re.Match[str]) -> str:
            name = match[1]
            return values.get(name) or ("no-such-name" if name in NAMES else str(uuid.uuid4()))

        return PARAMETER.sub(fill, self.pattern)

    def __str__(self) -> str:
        return self.pattern


def api_routes() -> list[Route]:
    """Return all routes below ``/api/v2/``."""
    return [
        Route(pattern.removeprefix("api/v2/"), view, tuple(m for m in METHODS if hasattr(view, m.lower())))
        for pattern, view in _walk(get_resolver().url_patterns, "")
        if pattern.startswith("api/v2/") and view is not RouteNotFound
    ]


def _walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[tuple[str, type]]:
    for entry in patterns:
        text = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _walk(entry.url_patterns, text)
        elif hasattr(entry.callback, "view_class"):
            yield text, entry.callback.view_class
