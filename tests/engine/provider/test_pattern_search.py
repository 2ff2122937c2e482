"""Searching with patterns of templates, under a time limit."""

import pytest

from provisioning.engine.provider.pattern_search import MAX_VALUE, UndecidedError, matches


@pytest.mark.parametrize(
    ("source", "value", "found"),
    [
        ("^[a-z]+$", "abc", True),
        ("^[a-z]+$", "abc\n", False),
        (r"^\d{1,3}(\.\d{1,3}){3}$", "10.0.0.1", True),
        (r"^\d{1,3}(\.\d{1,3}){3}$", "10.0.0", False),
        ("^[a-z0-9./-]+(:[a-z0-9.-]+)?$", "ubuntu:22.04", True),
        ("", "anything", True),
    ],
)
def test_a_pattern_is_searched_in_a_value(source, value, found):
    assert matches(source, value) is found


@pytest.mark.parametrize("source", ["(?=a)b", "(a", "(a+)(?!b)*"])
def test_an_invalid_pattern_is_an_error(source):
    with pytest.raises(ValueError, match=r"."):
        matches(source, "a" * 10)


def test_a_slow_pattern_is_stopped_at_the_time_limit():
    with pytest.raises(UndecidedError, match="takes too long"):
        matches("^(a+)+$", "a" * 64 + "!")


def test_a_value_that_is_too_long_is_not_searched():
    with pytest.raises(UndecidedError, match="longer than"):
        matches("a", "a" * (MAX_VALUE + 1))
