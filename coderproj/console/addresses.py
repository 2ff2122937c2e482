"""The addresses of pages."""

from functools import lru_cache

from django.urls import reverse


@lru_cache(maxsize=4096)
def page_url(route: str, *names: str) -> str:
    """The address of a route. It depends on nothing but the names in it, and lists have hundreds of them."""
    return reverse(route, args=names)
