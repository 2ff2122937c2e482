"""The search language."""

import pytest

from coderproj.base.errors import Invalid
from coderproj.base.search_terms import parse_search

KEYS = ("status", "name")


@pytest.mark.parametrize(
    ("query", "text", "terms"),
    [
        ("", "", {}),
        ("   ", "", {}),
        ("Two  Words", "two words", {}),
        ("status:Active", "", {"status": "active"}),
        ('name:"My Team" x', "x", {"name": "my team"}),
        ('"quoted words" more', "quoted words more", {}),
        ('"key:value"', "key:value", {}),
        ("name:a:b", "", {"name": "a:b"}),
        ('name:a"b c"d', "", {"name": "ab cd"}),
        ('""', "", {}),
    ],
)
def test_parse_search(query, text, terms):
    search = parse_search(query, KEYS)
    assert (search.text, dict(search.terms)) == (text, terms)


@pytest.mark.parametrize("query", ["other:x", "name:", 'name:""', ":x", '"open', "name:a name:b", "a\0b"])
def test_parse_error_names_q(query):
    with pytest.raises(Invalid) as caught:
        parse_search(query, KEYS)
    assert [problem.field for problem in caught.value.problems] == ["q"]


def test_choices():
    search = parse_search("status:a,b,,", KEYS)
    assert search.choices("status", {"a", "b"}) == ["a", "b"]
    assert search.choices("name", {"a"}) == []
    with pytest.raises(Invalid):
        search.choices("status", {"a"})
