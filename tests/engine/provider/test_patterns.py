"""Patterns of templates: RE2 syntax, in linear time."""

import pytest
import re2

from provisioning.engine.provider.patterns import (
    KEPT_PATTERNS,
    MAX_PATTERN,
    MAX_STEPS,
    MAX_VALUE,
    UndecidedError,
    compile_pattern,
    matches,
)


@pytest.mark.parametrize(
    ("pattern", "matching", "failing"),
    [
        ("^https://", "https://x", "http://x"),
        ("^[a-z]+$", "abc", "abc\n"),
        (r"^a\z", "a", "a\n"),
        ("^[[:alpha:]_]+$", "Ab_", "A1"),
        ("^[^[:digit:]]$", "a", "1"),
        (r"^[]a]+$", "]a", "b"),
        (r"^[a$]+$", "a$", "b"),
        (r"\Qa.b\E$", "a.b", "axb"),
        (r"^(?<year>\d{4})$", "2024", "٢٠٢٤"),
        ("(?m)^b$", "a\nb\nc", "abc"),
        ("(?i)^ABC$", "abc", "abd"),
        (r"^\$x$", "$x", "x"),
        (r"^\p{L}+$", "Zürich", "Zürich1"),
        (r"^\p{Greek}$", "λ", "l"),
        (r"^\PN$", "a", "٢"),
        (r"^(?U)a+$", "aaa", "b"),
        (r"^\x{61}\x{1F600}$", "a😀", "a"),
        (r"^\d{1,3}(\.\d{1,3}){3}$", "10.0.0.1", "10.0.0"),
        (r"^.$", "世", "世界"),
        ("^a.b$", "a-b", "a\nb"),
    ],
)
def test_patterns_match_like_in_go(pattern, matching, failing):
    assert matches(pattern, matching)
    assert not matches(pattern, failing)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "missing )"),
        ("[a", "missing ]"),
        ("a**", "bad repetition operator: **"),
        ("a++", "bad repetition operator: ++"),
        ("a*+b", "bad repetition operator: *+"),
        (r"(a)\1", "invalid escape sequence"),
        ("(?=a)", "invalid perl operator: (?="),
        ("(?<!a)b", "invalid perl operator: (?<"),
        ("(?>a)", "invalid perl operator: (?>"),
        (r"\p{Klingon}", "invalid character class range"),
        ("a{1001}", "invalid repetition size"),
        (r"(\p{L}{500}){2}", "pattern too large"),
        ("a" * (MAX_PATTERN + 1), "longer than 10000 characters"),
        ("\ud800", "lone surrogate"),
    ],
)
def test_invalid_and_unsupported_patterns_are_rejected(pattern, reason):
    with pytest.raises(ValueError) as caught:
        compile_pattern(pattern)
    assert reason in str(caught.value)


# A backtracking engine does not finish any of these.
@pytest.mark.promise("A3", "A11")
@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("^(a|aa)+b$", "a" * 60_000),
        ("^(a+)+$", "a" * 60_000 + "!"),
        ("^(.*)(.*)(.*)(.*)(.*)(.*)x$", "é" * 30_000),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 60_000),
    ],
)
def test_repetitions_take_linear_time(pattern, value):
    assert not matches(pattern, value)
    assert compile_pattern(pattern).programsize * len(value.encode()) < MAX_STEPS


def test_values_that_are_too_long_are_not_searched():
    with pytest.raises(UndecidedError, match="longer than 65536 characters"):
        matches("a", "a" * (MAX_VALUE + 1))


@pytest.mark.promise("A3", "A11")
def test_a_large_pattern_is_not_searched_in_a_long_value():
    large = "|".join(["(?:(?:a?){30}){30}"] * 80) + "c$"

    assert matches(large, "a" * 10)
    with pytest.raises(UndecidedError, match="takes too long"):
        matches(large, "a" * 20_000)


def test_values_with_a_lone_surrogate_are_rejected():
    with pytest.raises(ValueError, match="lone surrogate"):
        matches("a", "\udfff")


def test_few_patterns_are_kept():
    for number in range(2 * KEPT_PATTERNS):
        compile_pattern(f"kept{number}")

    assert re2._Regexp._make.cache_info().currsize <= 1
