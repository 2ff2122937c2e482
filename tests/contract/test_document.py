"""Every documented endpoint of a live server, held against the document."""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract import golang as go
from tests.contract import table
from tests.contract.document import Endpoint, endpoints
from tests.contract.scenario import Answer, answers_of
from tests.routes import METHODS, api_routes

pytestmark = pytest.mark.django_db

Answers = Mapping[str, Sequence[Answer]]
ENDPOINTS = endpoints()

# What the Go SDK decodes a success into.
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
# Where the dialects differ (docs/api.md): nowhere else.
DIFFERENT = {
    "POST /organizations/{organization}/templates": "sdk: 201 object",
    "GET /templates/{template}/versions/{templateversionname}": "sdk: 200 object",
    "PATCH /templates/{template}": (
        "sdk: an absent field clears display_name, icon, default_ttl_ms, allow_user_cancel_workspace_jobs"
    ),
}


@pytest.fixture(scope="module")
def answers(deployment) -> dict[str, Answers]:
    """The answers to all documented calls by dialect; they are made once for all tests, of both at a time."""
    ours = deployment.url, deployment.token, deployment.organization_id
    with ThreadPoolExecutor(2) as pool:
        running = {
            "documented": pool.submit(answers_of, *ours, accept="application/json"),
            "sdk": pool.submit(answers_of, *ours, accept=None),
        }
        return {dialect: future.result() for dialect, future in running.items()}


def test_the_document_has_27_endpoints():
    assert len(ENDPOINTS) == len({str(row) for row in ENDPOINTS}) == 27


@pytest.mark.parametrize("row", ENDPOINTS, ids=str)
def test_there_is_a_route_for_the_endpoint_and_its_parameters(row: Endpoint):
    names = {parameter["name"] for parameter in row.parameters if parameter["in"] == "path"}
    assert names == set(row.path_names)
    anonymous = re.sub(r"\{\w+\}", "{}", row.path)
    matching = [route for route in api_routes() if "/" + re.sub(r"<[^>]*>", "{}", route.pattern) == anonymous]
    assert [route.pattern for route in matching if row.method in route.methods]
    assert row.method in METHODS


@pytest.mark.parametrize("row", ENDPOINTS, ids=str)
def test_answers_are_as_documented(answers, row: Endpoint):
    assert table.problems(row, answers["documented"].get(str(row), ())) == []


@pytest.mark.parametrize("row", ENDPOINTS, ids=str)
def test_without_an_accept_header_the_sdk_can_decode_every_answer(answers, row: Endpoint):
    recorded = answers["sdk"][str(row)]
    assert recorded
    for answer in recorded:
        go.decode(STRUCTURES[str(row)], answer.raw)


def test_the_table_has_a_row_for_each_endpoint_and_no_mismatch(answers):
    rows = table.rows(answers["documented"], answers["sdk"])
    print()
    print(table.text(rows))
    assert len(rows) == 27
    assert [row.cells for row in rows if row.problems] == []
    assert {str(row.endpoint): row.dialects for row in rows if row.dialects != "same"} == DIFFERENT


def test_what_has_no_value_is_left_out_and_never_blank(answers):
    """Ids and times: clients in Go cannot read a blank one."""
    versions = [answer.body for answer in answers["documented"]["GET /templateversions/{templateversion}"]]
    jobs = [version["job"] for version in versions]
    assert {job["status"] for job in jobs} >= {"running", "succeeded", "failed", "canceled"}
    for job in jobs:
        ended = job["status"] in {"succeeded", "failed", "canceled"}
        assert ("completed_at" in job) == ended
        assert ("canceled_at" in job) == (job["status"] in {"canceling", "canceled"})
        assert job["status"] != "failed" or job["error"]
    assert {"template_id" in version for version in versions} == {True, False}


def test_a_parameter_value_of_the_document_reaches_the_log_filters(answers):
    """``after`` and ``before`` are strict; a followed log is the documented array."""
    window, everything, rest = (
        [line["id"] for line in answer.body]
        for answer in answers["documented"]["GET /templateversions/{templateversion}/logs"][1:]
    )
    assert window == [2, 3]
    assert everything == list(range(1, len(everything) + 1))
    assert rest == everything[2:]
