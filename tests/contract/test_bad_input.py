"""Bad input at every documented endpoint: the response is an error in the envelope, never a 500, without internals."""

# ruff: noqa: RUF001 - full-width digits are intended

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.http import HttpResponse

from coderproj.identity.models import Group, User
from templates_app.models import Template, TemplateVersion
from tests.contract.described import DescribedApiClient as ApiClient
from tests.contract.document import Endpoint, endpoint, endpoints
from tests.contract.sample_organization import (
    SampleOrganization,
    make_sample_organization,
    missing_path_values,
    request,
)
from tests.security.recorder import Measured

pytestmark = pytest.mark.django_db

ENDPOINTS = endpoints()
WITH_BODY = [row for row in ENDPOINTS if row.body or str(row) == "PATCH /templates/{template}"]
INTERNALS = ("Traceback", "psycopg", "SELECT ", "/site-packages/", "django", "rest_framework", "DETAIL:", 'File "')
LEAST_REQUESTS = 390

LONG = "x" * 64 * 1024
RIGHT_TO_LEFT = "\u202eevil\u202c שלום"
BAD_IDS = {
    "word": "nonsense",
    "number": "-1",
    "full-width": "１" * 8 + "-0000-0000-0000-000000000000",
    "newline": f"{uuid.uuid4()}\n",
    "braces": f"{{{{{uuid.uuid4()}}}}}",
    "half braces": f"{{{uuid.uuid4()}",
    "urn": f"urn:uuid:urn:uuid:{uuid.uuid4()}",
    "underscores": "00000000_0000_0000_0000_000000000000",
    "null character": "a\0b",
    "quote": "' OR '1'='1",
    "wildcard": "%",
    "dots": "..%2f..",
    "long": "a" * 8192,
    "right to left": RIGHT_TO_LEFT,
    "line separator": "a\u2028b",
}
ODD_VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "number": 17,
    "negative": -1,
    "fraction": 1.5,
    "huge": 10**40,
    "beyond 64 bits": 2**63,
    "empty": "",
    "word": "odd",
    "null character": "a\0b",
    "lone surrogate": "a\ud800b",
    "right to left": RIGHT_TO_LEFT,
    "long": LONG,
    "underscores": "1_000",
    "full-width": "１２３",
    "newline": "odd\n",
    "list": [],
    "list of lists": [[[]]],
    "list of odd objects": [{"name": 1, "value": [], "copy_from_parameter": "x", "source_scheme": "y"}],
    "object": {},
}
for _kind in ("null character", "lone surrogate", "right to left", "long", "empty"):
    _text = ODD_VALUES[_kind]
    ODD_VALUES |= {
        f"object with {_kind} as key": {_text: "good"},
        f"object with {_kind} as value": {"good": _text},
        f"list with {_kind} as name": [{"name": _text, "value": "good", "source_value": "good"}],
        f"list with {_kind} as value": [{"name": "good", "value": _text, "source_value": _text}],
    }
RAW_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "blank": b" \n\t",
    "half": b'{"name": "x',
    "text": b'"x"',
    "number": b"1",
    "null": b"null",
    "list": b"[]",
    "not a number": b'{"name": NaN, "default_ttl_ms": NaN}',
    "infinite": b'{"default_ttl_ms": Infinity, "quota_allowance": -Infinity}',
    "exponent": b'{"default_ttl_ms": 1e400, "quota_allowance": 1e400}',
    "digits": b'{"default_ttl_ms": ' + b"9" * 5000 + b"}",
    "single quotes": b"{'name': 'x'}",
    "trailing comma": b'{"name": "x",}',
    "two values": b'{"name": "x"} {"name": "y"}',
    "latin 1": '{"name": "é"}'.encode("latin-1"),
    "utf-16": '{"name": "x"}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"name": "x"}',
    "null character": b'{"name": "x\0"}',
    "binary": bytes(range(256)),
    "deep lists": b"[" * 60_000 + b"]" * 60_000,
    "deep objects": b'{"a":' * 60_000 + b"1" + b"}" * 60_000,
    "deep value": b'{"name": ' + b"[" * 60_000 + b"]" * 60_000 + b"}",
    "huge": b'{"name": "' + b"x" * 3 * 1024 * 1024 + b'"}',
    "xml": b"<x/>",
}
CONTENT_TYPES = ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "nonsense", "a/b;c=\xe9")
QUERIES = (
    "limit=-1", "limit=1_0", "limit=１", "limit=x", "limit=99999999999999999999", "limit=1&limit=2", "limit=%00",
    "offset=-1", "offset=1.5", "offset=+1", "offset= 1", "offset=%ff", "after_id=x", "after_id=%00",
    f"after_id={uuid.uuid4()}", "after_id={}", "before=x", "before=1_0", "before=１", "before=-9223372036854775809",
    "before=99999999999999999999999", "after=1e3", "after=%00", "after=", "after=--1", f"after={'9' * 5000}",
    "follow&before=1", "follow=%00", "follow=maybe&after=x", f"x={'y' * 8192}",
)  # fmt: skip


@dataclass
class Tally:
    """Checks responses, counts them, and collects their problems."""

    api: ApiClient
    measured: Measured
    sent: int = 0
    wrong: list[str] = field(default_factory=list)

    def check(self, label: str, response: HttpResponse) -> HttpResponse:
        self.sent += 1
        found = list(problems(response))
        self.wrong += [f"{label}: {problem}" for problem in found]
        self.measured.count("requests", 1)
        self.measured.count("answers >= 500", response.status_code >= 500)
        self.measured.count("without envelope or with internals", bool(found) and response.status_code < 500)
        return response


def problems(response: HttpResponse) -> Iterator[str]:
    """Yield the problems of a response: a status of 500 or above, an error without an envelope, or internals."""
    status = response.status_code
    if status >= 500:
        yield f"status {status}"
    if not 200 <= status < 400:
        body = response.body
        if not isinstance(body, dict) or not isinstance(body.get("message"), str) or not body["message"]:
            yield f"status {status} without an envelope: {response.raw[:80]!r}"
        else:
            if set(body) - {"message", "detail", "validations"}:
                yield f"status {status} with {sorted(body)}"
            for problem in body.get("validations", ()):
                if set(problem) != {"field", "detail"} or not all(problem.values()):
                    yield f"status {status}: {problem}"
        text = response.raw.decode(errors="replace")
        yield from (f"status {status} shows {word!r}: {text[:200]}" for word in INTERNALS if word in text)
        if len(text) > 16 * 1024:
            yield f"status {status} with {len(text)} bytes"


@pytest.fixture
def world() -> SampleOrganization:
    return make_sample_organization("acme")


@pytest.fixture
def tally(world, measured) -> Tally:
    api = ApiClient(world.admin)
    api.client.raise_request_exception = False
    return Tally(api, measured)


@pytest.mark.promise("S1")
def test_bad_ids_return_errors(world, tally):
    for row in ENDPOINTS:
        for name in row.path_names:
            for kind, bad in BAD_IDS.items():
                values = world.path_values() | {name: bad}
                response = tally.check(f"{row} {name} {kind}", request(tally.api, row, values, world.body(row)))
                if response.status_code < 400:
                    tally.wrong.append(f"{row} {name} {kind}: {response.status_code}")
    assert tally.wrong == []
    assert tally.sent >= LEAST_REQUESTS


@pytest.mark.promise("S1")
def test_odd_values_in_any_field_cause_no_failure(world, tally):
    for row in WITH_BODY:
        good = world.body(row)
        for name in good:
            for kind, value in ODD_VALUES.items():
                # Each request has a unique name, so none conflicts with an earlier one.
                body = {**good, "name": f"n{tally.sent}", name: value}
                if str(row) == "PATCH /templates/{template}/versions":
                    body = {name: value}
                tally.check(f"{row} {name} {kind}", request(tally.api, row, world.path_values(), body))
    assert tally.wrong == []
    assert tally.sent >= LEAST_REQUESTS


@pytest.mark.promise("S1")
def test_bodies_that_are_not_valid_json_cause_no_failure(world, tally):
    for row in WITH_BODY:
        for kind, raw in RAW_BODIES.items():
            tally.check(f"{row} {kind}", request(tally.api, row, world.path_values(), raw=raw))
        for content_type in CONTENT_TYPES:
            good = json.dumps(world.body(row)).encode()
            response = request(tally.api, row, world.path_values(), raw=good, content_type=content_type)
            tally.check(f"{row} as {content_type!r}", response)
    assert tally.wrong == []


@pytest.mark.parametrize("kind", [kind for kind in RAW_BODIES if kind not in {"nothing", "blank", "two values"}])
def test_a_body_that_is_not_an_object_is_rejected(world, kind):
    row = endpoint("POST /organizations/{organization}/groups")
    response = request(ApiClient(world.admin), row, world.path_values(), raw=RAW_BODIES[kind])
    assert response.status_code in {400, 413}
    assert Group.objects.filter(organization=world.organization).count() == 2


@pytest.mark.parametrize(
    "rest",
    [b' {"name": "y"}', b"}", b" nonsense", b"\xff\xfe", b"\0", b"[" * 60_000, b"\n\n"],
    ids=lambda rest: rest[:9],
)
def test_bytes_after_the_first_json_value_are_ignored(world, rest):
    row = endpoint("POST /organizations/{organization}/groups")
    raw = b' \n{"name": "first", "quota_allowance": 3}' + rest
    response = request(ApiClient(world.admin), row, world.path_values(), raw=raw)
    assert response.status_code == 201
    assert (response.body["name"], response.body["quota_allowance"]) == ("first", 3)


@pytest.mark.promise("S1")
def test_unexpected_bodies_of_get_requests_cause_no_failure(world, tally):
    for row in ENDPOINTS:
        if row not in WITH_BODY and row.method == "GET":
            for kind in ("half", "binary", "deep lists", "list"):
                response = request(tally.api, row, world.path_values(), raw=RAW_BODIES[kind])
                tally.check(f"{row} {kind}", response)
    assert tally.wrong == []


@pytest.mark.promise("S1")
def test_unknown_and_repeated_fields_cause_no_failure(world, tally):
    for row in WITH_BODY:
        good = {**world.body(row), "unknown": {"deep": [1]}, "__proto__": {}, "__class__": "x", "a\0": 1, "\ud800": 2}
        tally.check(f"{row} unknown", request(tally.api, row, world.path_values(), good))
        text = json.dumps(world.body(row))
        twice = text[:-1] + "," + text[1:]
        tally.check(f"{row} twice", request(tally.api, row, world.path_values(), raw=twice.encode()))
    assert tally.wrong == []


@pytest.mark.promise("S1")
def test_wrong_methods_cause_no_failure(tally):
    documented = {(row.path, row.method) for row in ENDPOINTS}
    for row in ENDPOINTS:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"):
            response = request(tally.api, row, missing_path_values(), {}, method=method)
            tally.check(f"{method} {row.path}", response)
            if response.status_code == 405 and (row.path, method) in documented:
                tally.wrong.append(f"{method} {row.path} is not allowed")
    assert tally.wrong == []


@pytest.mark.promise("S1")
def test_odd_queries_cause_no_failure(world, tally):
    for row in ENDPOINTS:
        for query in QUERIES:
            if row.method == "GET":
                tally.check(f"{row}?{query[:40]}", request(tally.api, row, world.path_values(), query=query))
    assert tally.wrong == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=-1", "limit"),
        ("limit=1_0", "limit"),
        ("limit=１", "limit"),
        ("offset=-1", "offset"),
        ("after_id=x", "after_id"),
    ],
)
def test_an_invalid_page_parameter_is_named_in_the_error(world, query, field):
    response = request(
        ApiClient(world.admin), endpoint("GET /templates/{template}/versions"), world.path_values(), query=query
    )
    assert response.status_code == 400
    assert [problem["field"] for problem in response.body["validations"]] == [field]


@pytest.mark.parametrize("query", ["before=x", "after=1_0", "after=１", "follow&before=1"])
def test_an_invalid_log_window_is_a_validation_error(world, query):
    row = endpoint("GET /templateversions/{templateversion}/logs")
    response = request(ApiClient(world.admin), row, world.path_values(), query=query)
    assert response.status_code == 400
    assert response.body["validations"]


# ---------------------------------------------------------------------- forged fields
Snapshot = Callable[[], Any]


def forged() -> dict[str, Any]:
    """Return fields that a body must not set, under every name in models and responses."""
    other = str(uuid.uuid4())
    now = "2001-02-03T04:05:06Z"
    ids = ("id", "pk", "owner_id", "organization_id", "organization", "created_by", "created_by_id", "job", "job_id",
           "active_version", "active_version_id", "initiator_id", "worker_id", "scope_id", "user_id")  # fmt: skip
    return {
        **dict.fromkeys(ids, other),
        **dict.fromkeys(("created_at", "updated_at", "started_at", "completed_at", "canceled_at"), now),
        "deleted": True,
        "archived": True,
        "active": True,
        "status": "succeeded",
        "error": "forged",
        "readme": "forged",
        "created_by_name": "forged",
        "unverified_providers": ["forged"],
        "unverified_modules": ["forged"],
        "workspace_owner_count": 99,
        "active_user_count": 99,
        "build_time_stats": {"start": {"P50": 1}},
        "members": [other],
        "roles": ["owner"],
        "site_roles": ["owner"],
    }


@pytest.mark.promise("S12")
@pytest.mark.parametrize("row", [row for row in WITH_BODY if "{template}/versions" not in row.path], ids=str)
def test_a_forged_field_changes_nothing(world, measured, row: Endpoint):
    """S12: forged fields do not change the response."""
    api = ApiClient(world.admin)
    body = world.body(row)
    response = request(api, row, world.path_values(), {**forged(), **body})
    measured.add(bodies=1)
    assert response.status_code == row.status
    text = response.raw.decode()
    assert "forged" not in text
    assert "2001-02-03" not in text
    assert all(value not in text for value in forged().values() if isinstance(value, str) and len(value) == 36)
    returned = {name: value for name, value in response.body.items() if name in forged()}
    actual = {
        "organization_id": str(world.organization.pk),
        "created_by_id": str(world.admin.pk),
        "created_by_name": world.admin.username,
        "workspace_owner_count": 0,
        "active_user_count": -1,
        "members": [],
        "archived": False,
        "readme": "",
        "error": "",
        "status": "pending",
    }
    for name, value in actual.items():
        assert name not in returned or returned[name] == value
    if isinstance(response.body.get("created_by"), dict):
        assert response.body["created_by"]["id"] == str(world.admin.pk)
    world.template.refresh_from_db()
    world.admin.refresh_from_db()
    assert not world.template.deleted
    assert world.admin.site_roles == []
    assert Template.objects.filter(deleted=True).count() == 0
    assert set(Template.objects.values_list("organization_id", flat=True)) == {world.organization.pk}
    assert set(TemplateVersion.objects.values_list("created_by_id", flat=True)) == {world.admin.pk}


@pytest.mark.promise("S12")
def test_a_forged_body_does_not_change_a_templates_id_or_active_version(world):
    row = endpoint("PATCH /templates/{template}")
    before = world.template.active_version_id
    response = request(
        ApiClient(world.admin), row, world.path_values(), {**forged(), "active_version_id": str(world.version.pk)}
    )
    assert response.body["id"] == str(world.template.pk)
    assert response.body["active_version_id"] == str(before)
    assert User.objects.count() == 1
