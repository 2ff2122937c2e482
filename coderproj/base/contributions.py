"""What installed apps contribute to the parts that serve all apps: navigation, search, web server and so on.

An app declares its contributions in its ``AppConfig``, as dotted paths to lists ::

    class TemplatesConfig(AppConfig):
        contributions = {"navigation": "templates_app.pages.navigation.ENTRIES"}

The part that needs them asks ``contributions("navigation")``. The modules are imported at the first such call, so a
daemon or a command that shows no page imports none.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.apps import apps
from django.utils.module_loading import import_string


@cache
def contributions(kind: str) -> tuple[Any, ...]:
    """Return everything that installed apps contribute of one kind, in the order of INSTALLED_APPS.

    Raises ImportError when an app declares a path that does not exist.
    """
    found: list[Any] = []
    for config in apps.get_app_configs():
        declared: Mapping[str, str] = getattr(config, "contributions", {})
        if kind in declared:
            found += import_string(declared[kind])
    return tuple(found)
