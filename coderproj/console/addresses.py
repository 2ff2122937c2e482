"""The addresses of pages."""

from functools import lru_cache

from django.urls import reverse


@lru_cache(maxsize=4096)
def page_url(route: str, *names: str) -> str:
    """Return the address of a route, cached: it depends on the names alone, and a list has hundreds of addresses."""
    return reverse(route, args=names)
