"""Contributions of installed apps to the shared parts: navigation, search, web server and so on.

An app declares its contributions in its ``AppConfig``, as dotted paths to lists::

    class TemplatesConfig(AppConfig):
        contributions = {"navigation": "templates_app.pages.navigation.ENTRIES"}

The shared part calls ``contributions("navigation")``. The first call imports the modules, so a daemon or a command that
renders no page imports none of them.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.apps import apps
from django.utils.module_loading import import_string


@cache
def contributions(kind: str) -> tuple[Any, ...]:
    """Return all contributions of one kind, in the order of INSTALLED_APPS.

    Raises ImportError when an app declares a path that does not exist.
    """
    found: list[Any] = []
    for config in apps.get_app_configs():
        declared: Mapping[str, str] = getattr(config, "contributions", {})
        if kind in declared:
            found += import_string(declared[kind])
    return tuple(found)
