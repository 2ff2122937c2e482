import pytest

from provisioning.engine.base import RichParameter, RichParameterOption
from provisioning.engine.provider.parameter import (
    declaration_faults,
    given_value_faults,
    rich_parameter,
    type_fault,
    value_fault,
)
from provisioning.engine.provider.values import UNKNOWN


def option(name, value=None):
    return {"name": name, "value": name if value is None else value}


def faults(**config):
    return [(found.detail, found.path) for found in declaration_faults({"name": "p", **config})]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"default": "x"},
        {"type": "number", "default": "1.5"},
        {"type": "bool", "default": "true"},
        {"type": "list(string)", "default": '["a"]'},
        {"option": [option("a"), option("b")]},
        {"option": [option("a"), option("b")], "default": "b"},
        {"option": [option("a"), option("b", UNKNOWN)], "default": "c"},
        {"option": UNKNOWN, "default": "c"},
        {"type": UNKNOWN, "default": "c"},
        {"type": "number", "default": "3", "validation": [{"min": 3}]},
        {"type": "number", "default": "3", "validation": [{"max": 3, "monotonic": "increasing"}]},
        {"type": "number", "default": "-1", "validation": [{"min": -5, "max": 0}]},
        {"default": "ab", "validation": [{"regex": "^a", "error": "starts with a"}]},
        {"default": UNKNOWN, "validation": [{"regex": UNKNOWN, "error": UNKNOWN}]},
        {"option": [option("a"), option("b")], "default": ""},
        {"type": "number", "option": [option("1"), option("2")], "default": ""},
        {"type": "number", "option": [option("1")], "default": "1", "validation": [{"monotonic": "decreasing"}]},
        {"option": [option("a")], "default": "a", "validation": [{"regex": "a", "error": "e"}]},
        {"ephemeral": True, "mutable": True, "default": "x"},
        {"ephemeral": True, "mutable": UNKNOWN},
        {"form_type": "dropdown", "option": [option("a")]},
        {"form_type": "dropdown", "option": UNKNOWN},
        {"form_type": "textarea"},
        {"form_type": "slider", "type": "number"},
        {"form_type": "switch", "type": "bool"},
        {
            "type": "list(string)",
            "form_type": "multi-select",
            "option": [option("a"), option("b")],
            "default": '["b"]',
        },
    ],
)
def test_valid_declarations_have_no_errors(config):
    assert faults(**config) == []


@pytest.mark.parametrize(
    ("config", "fault", "path"),
    [
        ({"type": "number", "default": "x"}, 'the default "x" is not a number.', ("default",)),
        ({"type": "number", "default": "1_0"}, 'the default "1_0" is not a number.', ("default",)),
        ({"type": "bool", "default": "yes"}, 'the default "yes" is not a bool.', ("default",)),
        (
            {"type": "list(string)", "default": "[1]"},
            'the default "[1]" is not a JSON array of strings.',
            ("default",),
        ),
        (
            {"option": [option("a"), option("b")], "default": "c"},
            'the default "c" is not one of the options\' values (a, b).',
            ("default",),
        ),
        (
            {"option": [option("a", "1"), option("a", "2")]},
            'more than one option has the name "a".',
            ("option", 1, "name"),
        ),
        (
            {"option": [option("a", "1"), option("b", "1")]},
            'more than one option has the value "1".',
            ("option", 1, "value"),
        ),
        (
            {"type": "number", "option": [option("a", "1"), option("b", "x")]},
            'the value of an option "x" is not a number.',
            ("option", 1, "value"),
        ),
        (
            {"option": [option("a"), option("b")], "default": "b", "validation": [{"regex": "a", "error": "e"}]},
            'the default "b" does not match "a": e.',
            ("default",),
        ),
        ({"ephemeral": True}, "an ephemeral parameter must be mutable.", ("ephemeral",)),
        ({"ephemeral": True, "mutable": False}, "an ephemeral parameter must be mutable.", ("ephemeral",)),
        ({"form_type": "dropdown"}, "the form type dropdown needs options.", ("form_type",)),
        (
            {"form_type": "input", "option": [option("a")]},
            "the form type input cannot have options.",
            ("form_type",),
        ),
        (
            {"form_type": "multi-select", "option": [option("a")]},
            "the form type multi-select cannot be used for the type string.",
            ("form_type",),
        ),
        (
            {"option": [option(str(number)) for number in range(30)], "default": "x"},
            f'the default "x" is not one of the options\' values ({", ".join(map(str, range(20)))}, … and 10 more).',
            ("default",),
        ),
        (
            {"validation": [{"min": 1}]},
            "min cannot be set for the type string, only for numbers.",
            ("validation", 0, "min"),
        ),
        (
            {"type": "bool", "validation": [{"monotonic": "increasing"}]},
            "monotonic cannot be set for the type bool, only for numbers.",
            ("validation", 0, "monotonic"),
        ),
        (
            {"type": "number", "validation": [{"min": 2, "max": 1}]},
            "the minimum 2 is greater than the maximum 1.",
            ("validation", 0, "min"),
        ),
        (
            {"type": "number", "validation": [{"regex": "1", "error": "e"}]},
            "regex cannot be set for the type number, only for strings.",
            ("validation", 0, "regex"),
        ),
        (
            {"validation": [{"regex": "a"}]},
            "a regex needs an error message for values that do not match.",
            ("validation", 0, "regex"),
        ),
        (
            {"type": "number", "default": "0", "validation": [{"min": 1, "max": 9}]},
            "the default 0 is less than the minimum 1.",
            ("default",),
        ),
        (
            {"type": "number", "default": "10", "validation": [{"min": 1, "max": 9}]},
            "the default 10 is more than the maximum 9.",
            ("default",),
        ),
        (
            {"type": "number", "default": "1.5", "validation": [{"min": 1, "max": 9}]},
            'the default "1.5" is not a whole number.',
            ("default",),
        ),
        (
            {"default": "b", "validation": [{"regex": "^a", "error": "must start with a"}]},
            'the default "b" does not match "^a": must start with a.',
            ("default",),
        ),
    ],
)
def test_invalid_declarations_are_reported(config, fault, path):
    assert faults(**config) == [(f'Parameter "p": {fault}', path)]


@pytest.mark.parametrize("pattern", ["(", "a++", "(?=a)", "(" * 10_001])
def test_an_invalid_regex_is_reported_and_not_used(pattern):
    found = faults(default="b", validation=[{"regex": pattern, "error": "e"}])

    assert len(found) == 1
    assert f'the regex "{pattern}" is invalid' in found[0][0]
    assert found[0][1] == ("validation", 0, "regex")


@pytest.mark.promise("A11")
def test_a_default_that_would_take_too_long_to_search_is_reported():
    large = "|".join(["(?:(?:a?){30}){30}"] * 80) + "c$"
    ((fault, path),) = faults(default="a" * 20_000, validation=[{"regex": large, "error": "e"}])

    assert fault == 'Parameter "p": the default cannot be checked: its pattern takes too long.'
    assert path == ("default",)


def test_errors_of_a_parameter_with_an_unknown_name_are_reported():
    found = list(declaration_faults({"name": UNKNOWN, "type": "bool", "default": "x"}))

    assert found[0].summary == "Invalid parameter"


def test_invalid_given_values_are_reported():
    config = {"name": "Size", "type": "number", "validation": [{"min": 1, "max": 5}]}

    assert list(given_value_faults(config, "5")) == []
    (found,) = given_value_faults(config, "6")
    assert found.summary == 'Invalid parameter "Size"'
    assert found.detail == 'Parameter "Size": the given value 6 is more than the maximum 5.'


def test_multiple_choice_values_must_be_options():
    config = {
        "name": "p",
        "type": "list(string)",
        "form_type": "multi-select",
        "option": [option("a"), option("b"), option("c")],
    }

    assert value_fault(config, '["a","c"]') is None
    assert value_fault(config, "[]") is None
    assert "is not one of the options' values" in value_fault(config, '["a","d"]')


@pytest.mark.parametrize("text", ["[" * 60_000, '{"a":' * 60_000, "[1]", '["a", null]', "9" * 5_000])
def test_values_that_are_no_list_of_strings_are_rejected(text):
    assert type_fault("list(string)", text) == f'"{text}" is not a JSON array of strings'


@pytest.mark.parametrize("number", ["0", "-1", "+1", "1.", ".5", "1e3"])
def test_number_formats_are_accepted(number):
    assert type_fault("number", number) is None


@pytest.mark.parametrize("text", ["", " 1", "1 ", "1\n", "nan", "inf", "0x1", "1_000", "\u0661"])
def test_texts_that_are_not_numbers_are_rejected(text):
    assert type_fault("number", text)


def test_a_block_is_converted_to_a_rich_parameter():
    assert rich_parameter(
        {
            "name": "p",
            "type": "number",
            "mutable": True,
            "description": None,
            "default": None,
            "icon": None,
            "option": [],
            "validation": [{"min": 0, "max": None, "regex": None, "error": None, "monotonic": "decreasing"}],
        }
    ) == RichParameter(name="p", type="number", mutable=True, validation_min=0, validation_monotonic="decreasing")
    assert rich_parameter(
        {"name": "p", "type": "string", "default": "a", "option": [{**option("a"), "icon": "/i"}]}
    ) == RichParameter(name="p", default_value="a", options=(RichParameterOption("a", "a", icon="/i"),))
