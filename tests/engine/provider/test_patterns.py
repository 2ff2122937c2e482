import pytest

from provisioning.engine.provider.patterns import compile_pattern


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
    ],
)
def test_patterns_match_like_in_go(pattern, matching, failing):
    compiled = compile_pattern(pattern)

    assert compiled.search(matching)
    assert not compiled.search(failing)


@pytest.mark.parametrize("pattern", ["(", "[a", "a**", r"(a)\1", "(?=a)", "(?<!a)b", r"\p{Greek}"])
def test_invalid_and_unsupported_patterns_are_rejected(pattern):
    with pytest.raises(ValueError, match=r"."):
        compile_pattern(pattern)
