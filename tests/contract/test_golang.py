"""The decoder is as strict as Go's. Otherwise a decoded response would prove nothing."""

import pytest

from tests.contract import golang as go

NIL = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (go.uuid_, "null", NIL),
        (go.pointer(go.uuid_), "null", None),
        (go.time, "null", "0001-01-01T00:00:00Z"),
        (go.time, '"0001-01-01T00:00:00Z"', "0001-01-01T00:00:00Z"),
        (go.time, '"2026-01-02T03:04:05.123456+02:00"', "2026-01-02T03:04:05.123456+02:00"),
        (go.int64, "-1", -1),
        (go.string, "null", ""),
        (go.slice_(go.string), "null", []),
        (go.map_(go.string), '{"a":"b"}', {"a": "b"}),
        (go.struct(name=go.string), '{"NAME":"x","other":{}}', {"name": "x"}),
        (go.struct(name=go.string), "{}", {"name": ""}),
        (go.TransitionStats, '{"p50":1,"p95":2,"P50":3,"P95":null}', {"P50": 3, "P95": None}),
    ],
)
def test_values_that_go_accepts_are_decoded(kind, raw, value):
    assert go.decode(kind, raw) == value


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (go.uuid_, '""'),
        (go.pointer(go.uuid_), '""'),
        (go.uuid_, '"nonsense"'),
        (go.time, '""'),
        (go.pointer(go.time), '""'),
        (go.time, '"2026-01-02T03:04:05"'),
        (go.time, '"2026-01-02 03:04:05Z"'),
        (go.time, '"2026-13-02T03:04:05Z"'),
        (go.uint32, "-1"),
        (go.uint32, "1.0"),
        (go.int64, "1.0"),
        (go.int32, "2147483648"),
        (go.int64, '""'),
        (go.int64, "true"),
        (go.string, "1"),
        (go.boolean, "1"),
        (go.slice_(go.string), '""'),
        (go.slice_(go.string), "{}"),
        (go.map_(go.string), "[]"),
        (go.struct(name=go.string), "[]"),
        (go.struct(name=go.string), '{"Name":1}'),
        (go.string, "'x'"),
    ],
)
def test_values_that_go_rejects_raise_an_error(kind, raw):
    with pytest.raises(go.DecodeError):
        go.decode(kind, raw)
