"""The API's routes are found in another way than Django's, and must be the same."""

import itertools
from typing import Any

import pytest
from django.core.handlers.base import BaseHandler
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import Resolver404, ResolverMatch, URLPattern, include, path, re_path, resolve

from coderproj.urls import api
from coderproj.web.handler import API_ROUTE, Handler
from coderproj.web.routes import Routes

# What a path may have where a route takes anything: also words that other routes have there.
WORDS = sorted({segment for route in api for segment in str(route.pattern).split("/") if "<" not in segment} - {""})
ODD = ["first", "a b", "é", "50%", "a\nb", "<str:x>", "..", "a.b-c_d~"]


@pytest.fixture(scope="module")
def routes() -> Routes:
    return Routes.below(API_ROUTE)


def described(match: ResolverMatch | None) -> Any:
    return match and (match.func, match.args, match.kwargs, match.route, match.url_name, match.captured_kwargs)


def by_django(address: str) -> Any:
    try:
        match = resolve(address)
    except Resolver404:
        return None
    return described(match) if match.route.startswith(API_ROUTE) else None


@pytest.mark.parametrize("route", api, ids=lambda route: str(route.pattern) or "root")
def test_every_route_is_found_as_by_django(routes: Routes, route: URLPattern):
    segments = str(route.pattern).split("/")
    anything = [number for number, segment in enumerate(segments) if "<" in segment]
    for word in [*ODD, *WORDS]:
        filled = [word if number in anything else segment for number, segment in enumerate(segments)]
        for address in (filled, [*filled, "more"], filled[:-1], [*filled, ""]):
            text = f"/{API_ROUTE}{'/'.join(address)}"
            assert described(routes.match(text)) == by_django(text), text


def test_literal_words_in_any_order_are_found_as_by_django(routes: Routes):
    found = 0
    for length in (1, 2, 3):
        for words in itertools.product(WORDS[:: length * 2], repeat=length):
            text = f"/{API_ROUTE}{'/'.join(words)}"
            expected = by_django(text)
            found += expected is not None
            assert described(routes.match(text)) == expected, text
    assert found > len(WORDS) / 2


@pytest.mark.parametrize(
    "address",
    ["/", "/api", "/api/v2", "/api/v1/users", "/templates/x", f"/{API_ROUTE}nothing", f"/{API_ROUTE}users//roles"],
)
def test_what_is_no_route_is_none(routes: Routes, address: str):
    assert routes.match(address) is None


def view(request: object) -> HttpResponse:
    return HttpResponse()


def test_the_first_of_two_routes_that_match_is_found():
    routes = Routes("v/")
    for number, route in enumerate(["<str:a>/x", "b/<str:c>", "b/x", "b/<str:other>"]):
        routes.add(path(route, view, {"number": number}))
    found = {address: routes.match(f"/v/{address}") for address in ("b/x", "b/y", "a/x", "a/y")}
    expected = {
        "b/x": {"a": "b", "number": 0},
        "b/y": {"c": "y", "number": 1},
        "a/x": {"a": "a", "number": 0},
        "a/y": None,
    }
    assert {address: match and match.kwargs for address, match in found.items()} == expected


@pytest.mark.parametrize(
    "route",
    [
        path("<int:number>", view),
        path("a<str:b>", view),
        path("<str:a>.<str:b>", view),
        re_path("a", view),
        path("more/", include([])),
    ],
)
def test_other_kinds_of_routes_are_refused(route: Any):
    with pytest.raises(TypeError):
        Routes("v/").add(route)


def test_the_web_servers_handler_finds_views_this_way(monkeypatch):
    request = RequestFactory().get(f"/{API_ROUTE}buildinfo")
    monkeypatch.setattr(BaseHandler, "resolve_request", None)
    match = Handler().resolve_request(request)
    assert request.resolver_match is match
    assert described(match) == by_django(request.path_info)
