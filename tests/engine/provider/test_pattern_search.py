"""Patterns of templates are searched for without taking the process hostage."""

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
def test_a_value_is_searched(source, value, found):
    assert matches(source, value) is found


@pytest.mark.parametrize("source", ["(?=a)b", "(a", "(a+)(?!b)*"])
def test_a_wrong_pattern_is_said(source):
    with pytest.raises(ValueError, match=r"."):
        matches(source, "a" * 10)


def test_a_pattern_that_would_take_forever_is_given_up():
    with pytest.raises(UndecidedError, match="takes too long"):
        matches("^(a+)+$", "a" * 64 + "!")


def test_a_very_long_value_is_not_searched():
    with pytest.raises(UndecidedError, match="longer than"):
        matches("a", "a" * (MAX_VALUE + 1))
