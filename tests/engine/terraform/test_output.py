"""Converting Terraform's output to log lines, and its first error to a short text."""

import json

import pytest

from provisioning.engine.base import LogLevel, ParameterValue
from provisioning.engine.terraform.output import (
    MASK,
    Diagnostic,
    Line,
    Mask,
    Reader,
    clean,
    plain_errors,
    shortened,
)


def read(record: object, mask: Mask = Mask()) -> list[Line]:  # noqa: B008 (immutable)
    return list(Reader(mask).stdout(json.dumps(record).encode()))


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("trace", LogLevel.TRACE),
        ("DEBUG", LogLevel.DEBUG),
        ("info", LogLevel.INFO),
        ("warn", LogLevel.WARN),
        ("warning", LogLevel.WARN),
        ("error", LogLevel.ERROR),
        ("strange", LogLevel.INFO),
        (None, LogLevel.INFO),
    ],
)
def test_terraform_levels_become_log_levels(level: str | None, expected: LogLevel) -> None:
    assert read({"@level": level, "@message": "text"}) == [Line(expected, "text")]


def test_a_diagnostic_becomes_lines_of_message_location_and_detail() -> None:
    diagnostic = {
        "severity": "warning",
        "summary": "Deprecated",
        "detail": "Use another.\n\nReally.",
        "range": {"filename": "main.tf", "start": {"line": 12, "column": 3}},
        "snippet": {"code": '  password = "x"'},
    }
    lines = read({"@level": "warn", "@message": "Warning: Deprecated", "diagnostic": diagnostic})
    assert lines == [
        Line(LogLevel.WARN, "Warning: Deprecated"),
        Line(LogLevel.WARN, "  on main.tf:12"),
        Line(LogLevel.WARN, "Use another."),
        Line(LogLevel.WARN, "Really."),
    ]


def test_the_reason_is_the_first_error() -> None:
    reader = Reader(Mask(["hunter22"]))
    for summary, detail in (("Bad value", "It is hunter22,\nwhich  is bad.\n\nMore."), ("Another", "")):
        diagnostic = {
            "severity": "error",
            "summary": summary,
            "detail": detail,
            "range": {"filename": "a/b.tf", "start": {"line": 7}},
        }
        list(reader.stdout(json.dumps({"@message": summary, "diagnostic": diagnostic}).encode()))
    assert reader.reason() == f"Bad value (a/b.tf:7): It is {MASK}, which is bad."
    assert [error.summary for error in reader.errors] == ["Bad value", "Another"]


def test_an_invalid_value_is_reported_at_its_validation_rule() -> None:
    reader = Reader(Mask())
    diagnostic = {
        "severity": "error",
        "summary": "Invalid value for variable",
        "detail": "No.\n\nThis was checked by the validation rule at main.tf:15,3-13.",
        "range": {"filename": "/private/values.tfvars.json", "start": {"line": 1}},
    }
    lines = list(reader.stdout(json.dumps({"@message": "Error", "diagnostic": diagnostic}).encode()))
    assert reader.reason() == "Invalid value for variable (main.tf:15): No."
    assert not any("/private" in line.output for line in lines)


@pytest.mark.parametrize(
    "raw",
    [b"{", b"[1]", b'{"a": 1}', b"plain text", b'{"@message": 1', b"{" * 100_000, b'"text"'],
)
def test_output_that_is_not_json_becomes_a_line(raw: bytes) -> None:
    assert list(Reader(Mask()).stdout(raw)) == [Line(LogLevel.INFO, raw.decode())]


@pytest.mark.parametrize(
    "record",
    [
        {"@message": 5},
        {"@message": None, "diagnostic": "text"},
        {"@message": "", "diagnostic": {"range": {"filename": 3, "start": []}}},
        {"@message": "", "diagnostic": {"range": {"start": {"line": "x"}}, "detail": None}},
    ],
)
def test_malformed_records_are_tolerated(record: object) -> None:
    read(record)


@pytest.mark.promise("S13")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("a\x00b\x08c\x7fd\x9be\ttab", "abcde\ttab"),
        ("\u202eevil\u2066", "evil"),
        ("\ud800lone", "lone"),
    ],
)
def test_control_characters_are_removed(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_invalid_utf8_is_replaced() -> None:
    assert list(Reader(Mask()).stdout(b"a\xffb")) == [Line(LogLevel.INFO, "a\ufffdb")]


def test_a_multi_line_message_becomes_several_lines() -> None:
    assert [line.output for line in read({"@message": "a\r\nb\n\n  c  "})] == ["a", "b", "  c"]


def test_standard_error_has_level_error_and_crash_reports_debug() -> None:
    reader = Reader(Mask())
    raw = [b"fatal error: out of memory", b"goroutine 1 [running]:", b"main.main()"]
    levels = [next(reader.stderr(text)).level for text in raw]
    assert levels == [LogLevel.ERROR, LogLevel.DEBUG, LogLevel.DEBUG]
    assert reader.first_error_line == "fatal error: out of memory"


@pytest.mark.parametrize(
    ("secret", "text", "expected"),
    [
        ("hunter22", "x hunter22 hunter22y", f"x {MASK} {MASK}y"),
        ('say "hi"', r'value is "say \"hi\"" here', f'value is "{MASK}" here'),
        ("first line\nsecond line", "has second line in it", f"has {MASK} in it"),
        ("a.b*", "a.b* aXbb", f"{MASK} aXbb"),
        ("7", "7 of 17", f"{MASK} of 17"),
        ("", "text", "text"),
        ("  ", "a  b", "a  b"),
        ("grüße1", r"gr\u00fc\u00dfe1 und grüße1", f"{MASK} und {MASK}"),
    ],
)
def test_secrets_are_masked(secret: str, text: str, expected: str) -> None:
    assert Mask([secret])(text) == expected


def test_the_longest_matching_secret_is_masked() -> None:
    assert Mask(["secret", "secret-with-tail"])("secret-with-tail") == MASK


def test_only_sensitive_values_are_masked() -> None:
    values = (ParameterValue("a", "open1"), ParameterValue("b", "closed1", sensitive=True))
    assert Mask.of_values(values)("open1 closed1") == f"open1 {MASK}"


def test_a_secret_in_a_json_line_is_masked() -> None:
    assert read({"@message": 'it is "pa\\ss"'}, Mask(["pa\\ss"])) == [Line(LogLevel.INFO, f'it is "{MASK}"')]


def test_errors_are_parsed_from_plain_output() -> None:
    text = "\nError: Failed to query\n\nCould not retrieve\nthe list.\n\nTo see\n  run\n\nError: Second\n"
    assert plain_errors(text) == [
        Diagnostic("error", "Failed to query", "Could not retrieve the list.\n\nTo see run"),
        Diagnostic("error", "Second", ""),
    ]


@pytest.mark.promise("S13")
def test_long_texts_are_truncated() -> None:
    assert shortened("a" * 600) == "a" * 499 + "…"
    assert shortened("short") == "short"
