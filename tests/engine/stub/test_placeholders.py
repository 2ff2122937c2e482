"""Placeholder values for hints."""

import pytest

from provisioning.engine.stub.placeholders import MAX_ELEMENTS, PLACEHOLDER, placeholder


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        ({}, PLACEHOLDER),
        ({"a": {}, "b": {"c": {}}}, {"a": PLACEHOLDER, "b": {"c": PLACEHOLDER}}),
        ({"[]": {}}, [PLACEHOLDER]),
        ({"#3": {}, "[]": {"id": {"#number": {}}}}, [{"id": 1}, {"id": 2}, {"id": 3}]),
        ({"#object": {}}, {}),
        ({"#object": {}, "[]": {"id": {}}}, {"stub": {"id": PLACEHOLDER}}),
        ({"eu": {"x": {}}, "[]": {"y": {}}}, {"eu": {"x": PLACEHOLDER, "y": PLACEHOLDER}}),
        ({"#json": {}}, "{}"),
        ({"#json": {"a": {"#number": {}}}}, '{"a": 1}'),
        ({"#number": {}}, 1),
        ({"#bool": {}}, True),
        ({"#cidr": {}}, "10.0.0.0/16"),
        ({"#time": {}}, "2000-01-01T00:00:00Z"),
        ({"=200": {}}, 200),
        ({"=ok": {}, "#number": {}}, "ok"),
        ({"=false": {}}, False),
        ({"#nonsense": {}}, PLACEHOLDER),
        ({"#split:/": {}}, PLACEHOLDER),
        ({"#split:/": {"#3": {}}}, f"{PLACEHOLDER}/c3R1YjE=/c3R1YjI="),
        ({"#split::": {"#2": {}, "[]": {"#number": {}}}}, "1:2"),
    ],
)
def test_a_placeholder_matches_its_hint(hint: dict, value: object) -> None:
    assert placeholder(hint)[1] == value


def test_elements_are_distinct_and_limited() -> None:
    _, values = placeholder({"#999": {}})
    assert len(set(values)) == len(values) == MAX_ELEMENTS
    assert placeholder({"#99999999999999": {}})[1] == PLACEHOLDER


def test_types_match_the_values() -> None:
    assert placeholder({"a": {"[]": {}}, "n": {"#number": {}}})[0] == [
        "object",
        {"a": ["tuple", ["string"]], "n": "number"},
    ]
