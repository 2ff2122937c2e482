"""Symbols of resources, addresses of apps, and times in the zone of a schedule."""

from datetime import datetime

from django import template

from provisioning.models import WorkspaceApp
from provisioning.pages.resource_graph import symbol_of
from templates_app.workspaces.pages.agents import link_of

register = template.Library()


@register.filter
def resource_symbol(resource_type: str) -> str:
    """Return the name of the icon for a type of resource."""
    return symbol_of(resource_type)


@register.filter
def link_of_app(app: WorkspaceApp) -> str:
    """Return the address of an external app, empty for other apps and for addresses that are not safe to open."""
    return link_of(app)


@register.filter
def local_time(moment: datetime) -> str:
    """Return a moment in its own time zone, which the filter ``date`` would convert to UTC."""
    return f"{moment:%A, %d %B %Y, %H:%M} {moment.tzname()}"
