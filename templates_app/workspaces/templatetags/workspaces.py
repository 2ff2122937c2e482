"""Symbols of resources, addresses of apps, and times in the zone of a schedule."""

from datetime import datetime
from urllib.parse import urlsplit

from django import template

from provisioning.models import WorkspaceApp
from provisioning.pages.resource_graph import symbol_of

register = template.Library()


@register.filter
def resource_symbol(resource_type: str) -> str:
    """Return the name of the icon for a type of resource."""
    return symbol_of(resource_type)


@register.filter
def link_of_app(app: WorkspaceApp) -> str:
    """Return the address of an external app, empty for other apps and for addresses that are not web pages."""
    if not app.external:
        return ""
    try:
        is_web = urlsplit(app.url).scheme in {"http", "https"}
    except ValueError:  # not an address
        return ""
    return app.url if is_web else ""


@register.filter
def local_time(moment: datetime) -> str:
    """Return a moment in its own time zone, which the filter ``date`` would convert to UTC."""
    return f"{moment:%A, %d %B %Y, %H:%M} {moment.tzname()}"
