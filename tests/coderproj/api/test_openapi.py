"""The OpenAPI schema and its page."""

import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from tests.api import ApiClient
from tests.routes import PARAMETER, api_routes

REFERENCE = re.compile(r"""(?:src|href|data-description)="([^"]*)\"""")
# Routes that are not in the schema.
UNDESCRIBED = {"openapi.json"}


@pytest.fixture
def description():
    answer = ApiClient().get("openapi.json")
    assert answer.status_code == 200
    return answer.body


def test_every_route_and_method_is_described(description):
    wanted = {
        ("/api/v2/" + PARAMETER.sub(r"{\1}", route.pattern), method.lower())
        for route in api_routes()
        if route.pattern not in UNDESCRIBED
        for method in route.methods
    }
    methods = ("get", "post", "put", "patch", "delete")
    described = {
        (path, method) for path, entry in description["paths"].items() for method in entry if method in methods
    }
    assert described == wanted


def test_operation_ids_are_unique(description):
    names = [operation["operationId"] for entry in description["paths"].values() for operation in entry.values()]
    assert len(names) == len(set(names))


def test_every_operation_has_a_description(description):
    texts = {
        operation["operationId"]: operation.get("description", "")
        for entry in description["paths"].values()
        for operation in entry.values()
    }
    assert [name for name, text in texts.items() if not text] == []
    assert [name for name, text in texts.items() if text.startswith("A view")] == []


def test_page_loads_nothing_from_other_hosts():
    answer = Client().get("/swagger")
    page = answer.content.decode()
    assert answer.status_code == 200
    references = REFERENCE.findall(page)
    assert len(references) == 5
    for reference in references:
        assert reference.startswith("/")
        assert not reference.startswith("//")
        if reference.startswith("/static/"):
            assert finders.find(reference.removeprefix("/static/")), reference
    assert "://" not in page
    assert "<style" not in page
    assert re.findall(r"<script(?! src=)", page) == []


def test_page_disables_the_online_validator():
    script = Path(finders.find("swagger/start.js")).read_text()
    assert "validatorUrl: null" in script
    assert "://" not in script


def test_page_rejects_post():
    assert Client().post("/swagger").status_code == 405
