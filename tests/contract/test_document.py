"""Every documented endpoint of a live server, compared with the document."""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract import golang as go
from tests.contract import table
from tests.contract.document import Endpoint, endpoints
from tests.contract.scenario import RecordedResponse, record_responses
from tests.routes import METHODS, api_routes

pytestmark = pytest.mark.django_db

Responses = Mapping[str, Sequence[RecordedResponse]]
ENDPOINTS = endpoints()

# The structures into which the Go SDK decodes a success.
STRUCTURES = {
    "POST /organizations/{organization}/groups": go.Group,
    "GET /organizations/{organization}/templates": go.slice_(go.Template),
    "POST /organizations/{organization}/templates": go.Template,
    "GET /organizations/{organization}/templates/examples": go.slice_(go.TemplateExample),
    "GET /organizations/{organization}/templates/{templatename}": go.Template,
    "POST /organizations/{organization}/templateversions": go.TemplateVersion,
    "GET /organizations/{organization}/templateversions/{templateversionname}": go.TemplateVersion,
    "GET /organizations/{organization}/templateversions/{templateversionname}/previous": go.TemplateVersion,
    "GET /templates/{template}": go.Template,
    "DELETE /templates/{template}": go.Response,
    "PATCH /templates/{template}": go.Template,
    "GET /templates/{template}/daus": go.TemplateDAUs,
    "GET /templates/{template}/versions": go.slice_(go.TemplateVersion),
    "PATCH /templates/{template}/versions": go.Response,
    "GET /templates/{template}/versions/{templateversionname}": go.TemplateVersion,
    "GET /templateversions/{templateversion}": go.TemplateVersion,
    "PATCH /templateversions/{templateversion}/cancel": go.Response,
    "POST /templateversions/{templateversion}/dry-run": go.ProvisionerJob,
    "GET /templateversions/{templateversion}/dry-run/{jobID}": go.ProvisionerJob,
    "PATCH /templateversions/{templateversion}/dry-run/{jobID}/cancel": go.Response,
    "GET /templateversions/{templateversion}/dry-run/{jobID}/logs": go.slice_(go.ProvisionerJobLog),
    "GET /templateversions/{templateversion}/dry-run/{jobID}/resources": go.slice_(go.WorkspaceResource),
    "GET /templateversions/{templateversion}/logs": go.slice_(go.ProvisionerJobLog),
    "GET /templateversions/{templateversion}/parameters": go.slice_(go.ComputedParameter),
    "GET /templateversions/{templateversion}/resources": go.slice_(go.WorkspaceResource),
    "GET /templateversions/{templateversion}/rich-parameters": go.slice_(go.TemplateVersionParameter),
    "GET /templateversions/{templateversion}/schema": go.slice_(go.ParameterSchema),
}
# All differences of the dialects (docs/api.md).
DIFFERENT = {
    "POST /organizations/{organization}/templates": "sdk: 201 object",
    "GET /templates/{template}/versions/{templateversionname}": "sdk: 200 object",
    "PATCH /templates/{template}": (
        "sdk: an absent field clears display_name, icon, default_ttl_ms, allow_user_cancel_workspace_jobs"
    ),
}


@pytest.fixture(scope="module")
def responses(deployment) -> dict[str, Responses]:
    """Make all documented calls once for all tests, in both dialects at once. Return the responses by dialect."""
    arguments = deployment.url, deployment.token, deployment.organization_id
    with ThreadPoolExecutor(2) as pool:
        running = {
            "documented": pool.submit(record_responses, *arguments, accept="application/json"),
            "sdk": pool.submit(record_responses, *arguments, accept=None),
        }
        return {dialect: future.result() for dialect, future in running.items()}


def test_the_document_has_27_endpoints():
    assert len(ENDPOINTS) == len({str(row) for row in ENDPOINTS}) == 27


@pytest.mark.parametrize("row", ENDPOINTS, ids=str)
def test_every_endpoint_has_a_route_with_its_parameters(row: Endpoint):
    names = {parameter["name"] for parameter in row.parameters if parameter["in"] == "path"}
    assert names == set(row.path_names)
    anonymous = re.sub(r"\{\w+\}", "{}", row.path)
    matching = [route for route in api_routes() if "/" + re.sub(r"<[^>]*>", "{}", route.pattern) == anonymous]
    assert [route.pattern for route in matching if row.method in route.methods]
    assert row.method in METHODS


@pytest.mark.parametrize("row", ENDPOINTS, ids=str)
def test_responses_match_the_document(responses, row: Endpoint):
    assert table.problems(row, responses["documented"].get(str(row), ())) == []


@pytest.mark.parametrize("row", ENDPOINTS, ids=str)
def test_the_sdk_can_decode_every_response_without_an_accept_header(responses, row: Endpoint):
    recorded = responses["sdk"][str(row)]
    assert recorded
    for response in recorded:
        go.decode(STRUCTURES[str(row)], response.raw)


def test_the_table_has_a_row_for_each_endpoint_and_no_mismatch(responses):
    rows = table.rows(responses["documented"], responses["sdk"])
    print()
    print(table.text(rows))
    assert len(rows) == 27
    assert [row.cells for row in rows if row.problems] == []
    assert {str(row.endpoint): row.dialects for row in rows if row.dialects != "same"} == DIFFERENT


def test_missing_ids_and_times_are_left_out(responses):
    """Go clients cannot decode an empty id or time."""
    versions = [response.body for response in responses["documented"]["GET /templateversions/{templateversion}"]]
    jobs = [version["job"] for version in versions]
    assert {job["status"] for job in jobs} >= {"running", "succeeded", "failed", "canceled"}
    for job in jobs:
        ended = job["status"] in {"succeeded", "failed", "canceled"}
        assert ("completed_at" in job) == ended
        assert ("canceled_at" in job) == (job["status"] in {"canceling", "canceled"})
        assert job["status"] != "failed" or job["error"]
    assert {"template_id" in version for version in versions} == {True, False}


def test_documented_log_filters_select_lines(responses):
    """``after`` and ``before`` exclude their own id. A followed log returns the documented array."""
    window, everything, rest = (
        [line["id"] for line in response.body]
        for response in responses["documented"]["GET /templateversions/{templateversion}/logs"][1:]
    )
    assert window == [2, 3]
    assert everything == list(range(1, len(everything) + 1))
    assert rest == everything[2:]
