"""What every template may use."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from coderproj.console.navigation import navigation_for
from coderproj.console.session import actor_of


def console(request: HttpRequest) -> dict[str, Any]:
    """``brand``, ``actor`` (None when nobody is signed in) and ``navigation``, which is looked up when it is shown."""

    def navigation() -> Any:
        actor = actor_of(request)
        return navigation_for(actor) if actor else []

    return {
        "brand": settings.BRAND,
        "actor": SimpleLazyObject(lambda: actor_of(request)),
        "navigation": SimpleLazyObject(navigation),
    }
