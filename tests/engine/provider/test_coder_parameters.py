"""Rich parameters in plans of the real Terraform: given values and invalid declarations."""

import pytest

from provisioning.engine.provider.coder import CoderProvider
from tests.engine.provider.terraform import (
    CODER,
    CONTEXT,
    MIXED,
    data_sources,
    planned_resources,
    with_coder,
    write_template,
)

pytestmark = pytest.mark.terraform


def test_given_values_are_used(tmp_path):
    provider = CoderProvider(CONTEXT, {"Disk size": "3", "Image": "debian", "Unknown": "x"})

    with with_coder(write_template(tmp_path, MIXED), provider) as terraform:
        shown = terraform.planned()

    resources = planned_resources(shown)
    assert "coder_agent.second[0]" not in resources
    assert resources["terraform_data.vm[0]"]["input"]["image"] == "debian"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"Disk size": "0"}, 'Parameter "Disk size": the given value 0 is less than the minimum 1.'),
        ({"Disk size": "many"}, 'Parameter "Disk size": the given value "many" is not a number.'),
        (
            {"Image": "arch"},
            'Parameter "Image": the given value "arch" is not one of the options\' values (ubuntu, debian).',
        ),
        (
            {"Repo": "http://x"},
            'Parameter "Repo": the given value "http://x" does not match "^https://": must be https.',
        ),
    ],
)
def test_invalid_values_fail_the_plan_and_name_the_parameter(tmp_path, values, message):
    with with_coder(write_template(tmp_path, MIXED), CoderProvider(CONTEXT, values)) as terraform:
        plan = terraform.plan()

    (name,) = values
    assert plan.code == 1
    assert plan.errors == [f'Invalid parameter "{name}"\n{message}']
    assert plan.diagnostics[0]["range"]["filename"] == "main.tf"


@pytest.mark.parametrize(
    ("body", "message", "line"),
    [
        ('type = "text"', 'is "text", expected one of string, number, bool, list(string)', 9),
        ('type = "number"\ndefault = "x"', 'the default "x" is not a number', 10),
        ('ephemeral = true\ndefault = "x"', "an ephemeral parameter must be mutable", 9),
        ('default = "x"\nform_type = "wheel"', 'The value of form_type is "wheel", expected one of radio, slider', 10),
        ('form_type = "slider"', "the form type slider cannot be used for the type string", 9),
        ('default = "x"\nstyling = "{"', "The value of styling is not valid JSON: ", 10),
        (
            'type = "number"\nvalidation {\nmin = 5\nmax = 1\n}',
            "the minimum 5 is greater than the maximum 1",
            11,
        ),
        (
            'type = "number"\nvalidation {\nmin = 1.5\n}',
            "The value of min is 1.5, expected a whole number",
            11,
        ),
        ('validation {\nregex = "a"\n}', "a regex needs an error message", 10),
        ('validation {\nregex = "("\nerror = "e"\n}', 'the regex "(" is invalid', 10),
        ('validation {\nmonotonic = "up"\n}', 'is "up", expected one of increasing, decreasing', 10),
        (
            'option {\nname = "a"\nvalue = "1"\n}\noption {\nname = "a"\nvalue = "2"\n}',
            'more than one option has the name "a"',
            14,
        ),
        ('default = "b"\noption {\nname = "a"\nvalue = "a"\n}', 'the default "b" is not one of', 9),
        ('icon = "%zz"', 'The value of icon is "%zz", expected a URL', 9),
    ],
)
def test_invalid_declarations_fail_the_plan_at_their_line(tmp_path, body, message, line):
    template = f'{CODER}\ndata "coder_parameter" "p" {{\nname = "p"\n{body}\n}}\n'

    with with_coder(write_template(tmp_path, template), CoderProvider(CONTEXT)) as terraform:
        plan = terraform.plan()

    assert plan.code == 1
    (error,) = plan.errors
    assert message in error
    assert plan.diagnostics[0]["range"]["start"]["line"] == line


def test_more_than_64_options_are_accepted(tmp_path):
    options = "".join(f'option {{\nname = "{number}"\nvalue = "{number}"\n}}\n' for number in range(200))
    template = f'{CODER}data "coder_parameter" "p" {{\nname = "p"\ndefault = ""\n{options}}}\n'

    with with_coder(write_template(tmp_path, template), CoderProvider(CONTEXT)) as terraform:
        shown = terraform.planned()

    parameter = data_sources(shown)["data.coder_parameter.p"]
    assert [option["value"] for option in parameter["option"]] == [str(number) for number in range(200)]
    assert parameter["value"] == ""


def test_options_can_be_combined_with_a_monotonic_validation(tmp_path):
    options = "".join(f'option {{\nname = "{size} GB"\nvalue = {size}\n}}\n' for size in (30, 60))
    body = f'type = "number"\ndefault = 30\nmutable = true\n{options}validation {{\nmonotonic = "increasing"\n}}\n'
    template = f'{CODER}data "coder_parameter" "p" {{\nname = "disk"\n{body}}}\n'

    with with_coder(write_template(tmp_path, template), CoderProvider(CONTEXT, {"disk": "60"})) as terraform:
        shown = terraform.planned()

    assert data_sources(shown)["data.coder_parameter.p"]["value"] == "60"


def test_required_parameters_without_a_value_do_not_fail_a_plan(tmp_path):
    template = f"""{CODER}
data "coder_parameter" "number" {{
  name = "number"
  type = "number"
  validation {{
    min = 1
    max = 9
    monotonic = "increasing"
  }}
}}
data "coder_parameter" "choice" {{
  name = "choice"
  option {{
    name  = "A"
    value = "a"
  }}
}}
data "coder_parameter" "text" {{
  name = "text"
  validation {{
    regex = "^x"
    error = "x"
  }}
}}
"""
    recorded = []
    provider = CoderProvider(CONTEXT, parameter_recorder=recorded.append)

    with with_coder(write_template(tmp_path, template), provider) as terraform:
        parameters = data_sources(terraform.planned())

    assert {(parameter["value"], parameter["optional"]) for parameter in parameters.values()} == {("", False)}
    assert [parameter.default_value for parameter in recorded] == [None, None, None]
    assert {parameter.validation_monotonic for parameter in recorded} == {"", "increasing"}
