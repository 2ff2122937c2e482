"""Lists the API routes of the URL configuration."""

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from coderproj.api.views import RouteNotFound

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
# Parameters that are names, not ids.
NAMES = {"templatename", "templateversionname", "groupname", "token", "scope", "name", "membername", "workspacename"}


@dataclass(frozen=True)
class Route:
    """A path with its view and, by method, the action of the view that answers."""

    pattern: str
    view: type
    actions: Mapping[str, str]
    options: Mapping[str, Any]  # the arguments of ``as_view``

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.actions)

    @property
    def permissions(self) -> set[type]:
        """The permission classes of all methods."""
        return {type(one) for method in self.methods for one in self.prepared(method).get_permissions()}

    def prepared(self, method: str) -> Any:
        """The view as it decides about permissions, credentials and limits of a method."""
        view = self.view(**self.options)
        view.action = self.actions[method]
        return view

    def docstring(self, method: str) -> str:
        """The docstring of the action, else of its view."""
        return getattr(self.view, self.actions[method]).__doc__ or self.view.__doc__ or ""

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
        Route(pattern.removeprefix("api/v2/"), callback.cls, _actions(callback), callback.initkwargs)
        for pattern, callback in _walk(get_resolver().url_patterns, "")
        if pattern.startswith("api/v2/") and callback.cls is not RouteNotFound
    ]


def _walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[tuple[str, Any]]:
    """Every path of a REST framework view, with its callback."""
    for entry in patterns:
        text = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _walk(entry.url_patterns, text)
        elif hasattr(entry.callback, "cls"):
            yield text, entry.callback


def _actions(callback: Any) -> dict[str, str]:
    """Return the action of each method, in the order of METHODS: the viewset's, else the method's own name."""
    mapped = getattr(callback, "actions", None) or {
        method.lower(): method.lower() for method in METHODS if hasattr(callback.cls, method.lower())
    }
    return {method: mapped[method.lower()] for method in METHODS if method.lower() in mapped}
