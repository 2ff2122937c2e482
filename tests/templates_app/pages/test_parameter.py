"""The form of parameters, its check, and the dry run that it starts."""

import json

import pytest
from django.http import QueryDict

from provisioning.models import ParameterSchema, ParameterScope, ParameterValue, ProvisionerJob
from templates_app import parameter_form
from templates_app.job_kinds import JobType
from templates_app.models import RichParameter
from templates_app.parameter_form import REQUIRED, answers_of, fields_of
from tests.factories import make_organization, make_template, make_user, make_version
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db
SECRET = "hunter2-token"
OWN = "/templates/acme/web"
# With a long value, its worst case exceeds the bound.
LARGE_PATTERN = "|".join(["(?:(?:a?){30}){30}"] * 80) + "c$"


@pytest.fixture
def version(owner, organization):
    made = make_template(user=owner, organization=organization, name="web").active_version
    made.refresh_from_db()
    return made


def rich(version, name="x", type="string", **fields):  # noqa: A002 - the model's field name
    number = version.rich_parameters.count()
    return RichParameter.objects.create(template_version=version, index=number, name=name, type=type, **fields)


def variable(version, name="v", default="x", **fields):
    fields = {"default_destination_scheme": "provisioner_variable", "validation_value_type": "string"} | fields
    return ParameterSchema.objects.create(
        job_id=version.job_id,
        index=ParameterSchema.objects.filter(job_id=version.job_id).count(),
        name=name,
        default_source_scheme="none" if default is None else "data",
        default_source_value=default or "",
        **fields,
    )


def answer(version, data, *, complete=True):
    """Return the answer to the only field."""
    query = QueryDict(mutable=True)
    for key, value in data.items():
        query.setlist(key, value if isinstance(value, list) else [value])
    [only] = answers_of(fields_of(version), query, complete=complete).answers
    return only


# ---------------------------------------------------------------------- long forms
@pytest.fixture
def long_form(version, monkeypatch):
    """A version with five parameters, of which a page shows three."""
    monkeypatch.setattr(parameter_form, "MAX_SHOWN", 3)
    for name in ("a", "b", "c"):
        rich(version, name, default_value="x")
    rich(version, "d", type="bool", default_value="true")
    rich(version, "e")
    return version


def test_long_form_shows_required_fields_and_leaves_others_out(long_form, owner):
    text = browser(owner).get(f"{OWN}/parameters").content.decode()
    assert [name for name in "abcde" if f'name="parameter.{name}"' in text] == ["a", "b", "e"]
    assert "2 more parameters keep their defaults" in text


def test_parameters_that_a_page_leaves_out_keep_their_defaults(long_form, owner):
    url = f"{OWN}/versions/{long_form.name}/dry-run"
    answered = browser(owner).post(url, {"parameter.a": "y", "parameter.e": "z", "parameter.d": "false"})
    assert answered.status_code == 302
    job = ProvisionerJob.objects.get(type=JobType.DRY_RUN)
    values = {value["name"]: value["value"] for value in job.input["rich_parameter_values"]}
    assert values == {"a": "y", "b": "x", "e": "z"}


# ---------------------------------------------------------------------- rules
@pytest.mark.parametrize(
    ("fields", "value", "error"),
    [
        ({"type": "number", "validation_min": 1, "validation_max": 8}, "4", ""),
        ({"type": "number", "validation_min": 1, "validation_max": 8}, "9", "9 is more than the maximum 8."),
        ({"type": "number", "validation_min": 1, "validation_max": 8}, "0", "0 is less than the minimum 1."),
        ({"type": "number", "validation_min": 1}, "2.5", '"2.5" is not a whole number.'),
        ({"type": "number"}, "2.5", ""),
        ({"type": "number"}, "two", '"two" is not a number.'),
        ({"validation_regex": "^[a-z]+$", "validation_error": "Lower case only."}, "abc", ""),
        ({"validation_regex": "^[a-z]+$", "validation_error": "Lower case only."}, "ABC", "Lower case only."),
        ({"validation_regex": "^[a-z]+$"}, "ABC", "The value does not match ^[a-z]+$."),
        ({"validation_regex": "^(a|aa)+b$", "validation_error": "Ends in b."}, "a" * 60_000, "Ends in b."),
        ({"validation_regex": r"^\p{Lu}+$"}, "ÄÖÜ", ""),
        (
            {"validation_regex": "a++"},
            "aa",
            "The value cannot be checked: bad repetition operator: ++.",
        ),
        (
            {"validation_regex": LARGE_PATTERN},
            "a" * 60_000,
            "The value cannot be checked: its pattern takes too long.",
        ),
        ({"options": [{"name": "A", "value": "a"}]}, "a", ""),
        ({"options": [{"name": "A", "value": "a"}]}, "b", '"b" is not one of the options\' values (a).'),
        ({}, "x\0y", "The value contains a NUL character."),
        ({}, "x" * 70_000, "The value is longer than 65536 characters."),
    ],
)
def test_rich_parameter_values_follow_the_engine_rules(version, fields, value, error):
    rich(version, default_value="1", **fields)
    assert answer(version, {"parameter.x": value}).error == error


@pytest.mark.parametrize(
    ("fields", "data", "value"),
    [
        ({"type": "bool", "default_value": "true"}, {}, "false"),
        ({"type": "bool", "default_value": "false"}, {"parameter.x": "true"}, "true"),
        ({"type": "list(string)", "default_value": "[]"}, {"parameter.x": "a\r\n b \n\n"}, '["a", "b"]'),
        (
            {"type": "list(string)", "default_value": "[]", "options": [{"name": "A", "value": "a"}, {"value": "b"}]},
            {"parameter.x": ["b", "a"]},
            '["b", "a"]',
        ),
        ({"default_value": "x"}, {"parameter.x": ""}, ""),
        ({"default_value": "x"}, {}, "x"),
        ({"default_value": "a\nb"}, {"parameter.x": "a\r\nb"}, "a\nb"),
    ],
)
def test_browser_input_becomes_the_engine_value(version, fields, data, value):
    rich(version, **fields)
    found = answer(version, data)
    assert (found.value, found.error) == (value, "")


def test_patterns_after_the_time_limit_are_not_searched(version, monkeypatch):
    monkeypatch.setattr(parameter_form, "PATTERN_SECONDS", -1.0)
    for number in range(3):
        rich(version, f"p{number}", default_value="", validation_regex="^a$")
    query = QueryDict(mutable=True)
    query.update({f"parameter.p{number}": "a" for number in range(3)})
    found = answers_of(fields_of(version), query, complete=True)
    assert [answer.error for answer in found.answers] == [
        "The value cannot be checked: the patterns of the other parameters take too long."
    ] * 3


def test_options_and_defaults_can_be_nested_deeply(version):
    deep = "[" * 60_000
    rich(version, type="list(string)", default_value=deep, options=[{"name": "A", "value": deep}])
    (field,) = fields_of(version)
    assert field.kind == "several"
    assert answer(version, {"parameter.x": [deep]}).value == json.dumps([deep])


def test_unknown_choice_is_rejected(version):
    rich(version, type="list(string)", default_value="[]", options=[{"name": "A", "value": "a"}])
    assert "not one of the options' values" in answer(version, {"parameter.x": ["a", "z"]}).error


def test_required_values_are_missing_only_after_submit(version):
    rich(version)
    assert answer(version, {"parameter.x": ""}, complete=False).error == ""
    assert answer(version, {"parameter.x": ""}).error == REQUIRED


@pytest.mark.parametrize(
    ("fields", "value", "error"),
    [
        ({"validation_contains": ["a", "b"]}, "a", ""),
        ({"validation_contains": ["a", "b"]}, "c", "Choose one of the values."),
        ({"validation_value_type": "number"}, "3", ""),
        ({"validation_value_type": "number"}, "three", '"three" is not a number.'),
    ],
)
def test_variable_values_are_checked_where_possible(version, fields, value, error):
    variable(version, default="1", **fields)
    assert answer(version, {"variable.v": value}).error == error


def test_form_has_only_overridable_variables(version):
    variable(version, "open")
    variable(version, "closed", allow_override_source=False)
    variable(version, "closed_and_empty", None, allow_override_source=False)
    assert [field.name for field in fields_of(version)] == ["open", "closed_and_empty"]


def test_values_of_the_template_are_the_defaults(version):
    variable(version)
    ParameterValue.objects.create(
        scope=ParameterScope.TEMPLATE,
        scope_id=version.template_id,
        name="v",
        source_scheme="data",
        source_value="of the template",
        destination_scheme="provisioner_variable",
    )
    page = browser(version.created_by).get(f"{OWN}/parameters")
    assert 'value="of the template"' in page.content.decode()


# ---------------------------------------------------------------------- the pages
def test_form_shows_descriptions_and_limits(owner, version):
    rich(
        version,
        "cpu",
        "number",
        description="**Cores** <script>",
        default_value="4",
        mutable=True,
        validation_min=1,
        validation_monotonic="increasing",
    )
    rich(version, "region", default_value="eu", options=[{"name": "Europe", "value": "eu", "description": "`near`"}])
    rich(version, "project")
    answer = browser(owner).get(f"{OWN}/parameters")
    page, text = answer.content.decode(), text_of(answer)
    assert "<strong>Cores</strong> &lt;script&gt;" in page
    assert "At least 1. It can only increase later." in text
    assert "<code>near</code>" in page
    assert 'type="radio" name="parameter.region" value="eu" checked' in page
    assert "region Fixed once built" in text
    assert "project Fixed once built Required" in text
    assert "# project needs a value" in text
    assert "cpu = 4" in text


def test_any_version_can_be_chosen(owner, organization, version):
    other = make_version(user=owner, organization=organization, template=version.template, name="other")
    rich(other, "of_other", default_value="1")
    client = browser(owner)
    assert "of_other" not in text_of(client.get(f"{OWN}/parameters"))
    assert "of_other" in text_of(client.get(f"{OWN}/parameters?version=other"))
    assert "of_other" in text_of(client.get(f"{OWN}/versions/other/parameters"))
    assert client.get(f"{OWN}/parameters?version=nonsense").status_code == 404


def test_page_without_parameters_is_explained(owner, version):
    text = text_of(browser(owner).get(f"{OWN}/parameters"))
    assert "developers choose nothing when they create a workspace of this version" in text


def test_form_is_hidden_until_the_import_succeeds(owner, organization, version):
    failed = make_version(user=owner, organization=organization, template=version.template, error="no")
    answer = browser(owner).get(f"{OWN}/versions/{failed.name}/parameters")
    assert "known once its import has succeeded" in text_of(answer)
    assert "Start a dry run" not in text_of(answer)


def test_check_returns_errors_and_values(owner, version):
    rich(version, "cpu", "number", default_value="4", validation_max=8)
    variable(version, "token", None, redisplay_value=False)
    answer = browser(owner).post(
        f"{OWN}/versions/{version.name}/parameters/check", {"parameter.cpu": "9", "variable.token": SECRET}
    )
    page, text = answer.content.decode(), text_of(answer)
    assert 'id="parameter-0-error" aria-live="polite" hx-swap-oob="innerHTML"' in page
    assert "9 is more than the maximum 8." in text
    assert "cpu = 9 # out of range" in text
    assert "token = (secret)" in text
    assert SECRET not in page
    assert ProvisionerJob.objects.filter(type=JobType.DRY_RUN).count() == 0


def test_values_survive_an_error_and_secrets_are_never_repeated(owner, version):
    rich(version, "cpu", "number", default_value="4", validation_max=8)
    rich(version, "note", default_value="")
    variable(version, "token", SECRET, redisplay_value=False)
    client = browser(owner)
    given = {"parameter.cpu": "9", "parameter.note": 'kept "as is"', "variable.token": "another-secret"}
    answer = client.post(f"{OWN}/versions/{version.name}/dry-run", given)
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "The dry run was not started." in text_of(answer)
    assert 'value="9"' in page
    assert 'value="kept &quot;as is&quot;"' in page
    assert 'aria-invalid="true"' in page
    for text in (page, client.get(f"{OWN}/parameters").content.decode()):
        assert SECRET not in text
        assert "another-secret" not in text
    assert ProvisionerJob.objects.filter(type=JobType.DRY_RUN).count() == 0


def test_a_dry_run_gets_the_values_that_differ(owner, version):
    rich(version, "cpu", "number", default_value="4")
    rich(version, "dotfiles", "bool", default_value="true")
    variable(version, "kept")
    variable(version, "changed")
    variable(version, "token", SECRET, redisplay_value=False)
    answer = browser(owner).post(
        f"{OWN}/versions/{version.name}/dry-run",
        {"parameter.cpu": "8", "variable.kept": "x", "variable.changed": "y", "variable.token": ""},
    )
    job = ProvisionerJob.objects.get(type=JobType.DRY_RUN)
    assert (answer.status_code, answer["Location"]) == (302, f"/jobs/{job.pk}")
    assert job.input["rich_parameter_values"] == [
        {"name": "cpu", "value": "8"},
        {"name": "dotfiles", "value": "false"},
    ]
    assert job.input["parameter_values"] == [{"name": "changed", "value": "y"}]
    text = text_of(browser(owner).get(answer["Location"]))
    assert "Dry run" in text
    assert "Cancel the dry run" in text


def test_dry_run_is_offered_only_if_allowed(organization, version):
    outsider = make_user("otto", organizations=(make_organization("other"),), site_roles=("auditor",))
    answer = browser(outsider).get(f"{OWN}/parameters")
    assert answer.status_code == 200
    assert "Start a dry run" not in text_of(answer)
    assert browser(outsider).post(f"{OWN}/versions/{version.name}/dry-run").status_code == 403
    member = make_user("mira", organizations=(organization,))
    assert "Start a dry run" in text_of(browser(member).get(f"{OWN}/parameters"))


def test_lists_are_shown_line_by_line(owner, version):
    rich(version, "packages", "list(string)", default_value=json.dumps(["git", "curl"]))
    assert "git\ncurl</textarea>" in browser(owner).get(f"{OWN}/parameters").content.decode()
