"""The comparison of responses with the OpenAPI document, and the document itself."""

import json
from collections import Counter
from typing import Any

import pytest

from tests.contract.described import NotDescribedError, check, document

BUILD = {"external_url": "https://example.test", "version": "v1"}


def checked(path: str, body: Any, *, method: str = "GET", status: int = 200, kind: str = "application/json") -> None:
    check(method, f"/api/v2/{path}", status, kind, json.dumps(body).encode())


def test_described_responses_are_accepted():
    checked("buildinfo", BUILD)
    checked("buildinfo/?x=1", BUILD)
    checked("nothing", {"message": "Route not found."}, status=404)
    check("DELETE", "/api/v2/organizations/acme/members/ada", 204, "", b"")


@pytest.mark.parametrize(
    ("path", "body", "options", "named"),
    [
        ("buildinfo", {"version": "v1"}, {}, "external_url"),
        ("buildinfo", {**BUILD, "version": 1}, {}, r"\['version'\]"),
        ("buildinfo", {**BUILD, "version": None}, {}, r"\['version'\]"),
        ("buildinfo", BUILD, {"status": 201}, "201"),
        ("buildinfo", BUILD, {"method": "POST"}, "POST"),
        ("buildinfo", BUILD, {"kind": "text/html"}, "text/html"),
        ("nothing", {}, {"status": 404}, "message"),
        ("files", {"hash": "no uuid"}, {"method": "POST"}, r"\['hash'\]"),
        ("organizations/acme/members/ada", {"message": "x"}, {"method": "DELETE", "status": 204}, "no JSON"),
    ],
)
def test_other_responses_are_rejected(path, body, options, named):
    with pytest.raises(NotDescribedError, match=named):
        checked(path, body, **options)


def test_titles_of_components_are_unique():
    """Generators name their classes by the titles, and drop a component whose title is taken."""
    schemas = document()["components"]["schemas"]
    titles = Counter(schema.get("title", name) for name, schema in schemas.items())
    assert [title for title, count in titles.items() if count > 1] == []


def test_an_upload_is_a_single_binary_body():
    content = document()["paths"]["/api/v2/files"]["post"]["requestBody"]["content"]
    assert content == {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


def test_omitted_fields_of_responses_are_not_required():
    schemas = document()["components"]["schemas"]
    required = set(schemas["TemplateVersion"]["required"])
    assert "template_id" not in required
    assert required >= {"id", "job", "created_by", "readme", "archived"}
    assert {"error", "started_at"}.isdisjoint(schemas["ProvisionerJob"]["required"])
