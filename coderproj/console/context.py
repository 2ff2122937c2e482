"""The context of every template."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from coderproj import __version__
from coderproj.console.navigation import navigation_for
from coderproj.console.session import actor_of


def console(request: HttpRequest) -> dict[str, Any]:
    """Return ``brand``, ``release``, ``actor`` (None without a session) and ``navigation``, read when shown."""

    def navigation() -> Any:
        actor = actor_of(request)
        return navigation_for(actor) if actor else []

    return {
        "brand": settings.BRAND,
        "release": __version__,
        "actor": SimpleLazyObject(lambda: actor_of(request)),
        "navigation": SimpleLazyObject(navigation),
    }
