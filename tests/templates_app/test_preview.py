"""The preview of uploaded files."""

import pytest

from templates_app import starters
from templates_app.preview import preview_of_file
from templates_app.tasks.preview import MAX_CONFIGURATION_BYTES, MAX_FILES, preview_of
from tests.factories import make_file, make_organization, make_user, make_version
from tests.pages import browser, text_of
from tests.vocabulary import tar_of

MAIN = """
variable "host" {
  default = "unix:///x"
}
variable "token" {
  sensitive = true
  default   = "hunter2"
}
data "coder_parameter" "cpu" {
  name    = "cpu"
  type    = "number"
  default = 4
}
data "coder_parameter" "computed" {
  name    = "computed-${var.host}"
  default = "x"
}
module "below" { source = "./below" }
"""
OPTIONS = """
data "coder_parameter" "arch" {
  name = "arch"
  option {
    name  = "ARM"
    value = "arm64"
  }
}
data "coder_parameter" "size" {
  name = "size"
  option {
    name  = "Small"
    value = "s"
  }
  option {
    name  = "Large"
    value = "l"
  }
}
"""


def test_variables_and_literal_parameters_are_found():
    found = preview_of(tar_of({"main.tf": MAIN, "below/main.tf": "# nothing", "big.bin": b"\0" * 4096}))
    assert found is not None
    assert [(row.name, row.default_source_value, row.sensitive) for row in found.variables] == [
        ("host", "unix:///x", False),
        ("token", "hunter2", True),
    ]
    assert [(row.name, row.type, row.default_value) for row in found.parameters] == [("cpu", "number", "4")]
    assert found.problems == ()


def test_problems_have_file_and_line():
    found = preview_of(tar_of({"main.tf": 'variable "a" {\n  default = \n}\n'}))
    assert found is not None
    assert found.variables == ()
    assert (found.problems[0].file, found.problems[0].line > 0) == ("main.tf", True)


@pytest.mark.parametrize(
    ("archive", "text"), [(tar_of({"README.md": "# hi"}), "no .tf file"), (b"rubbish" * 200, "broken")]
)
def test_files_that_are_no_template_are_reported(archive, text):
    found = preview_of(archive)
    assert found is not None
    assert text in found.problems[0].text


def test_large_configurations_have_no_preview():
    assert preview_of(tar_of({"main.tf": "#" * (MAX_CONFIGURATION_BYTES + 1)})) is None
    assert preview_of(tar_of({f"f{number}.tf": "" for number in range(MAX_FILES + 1)})) is None


@pytest.mark.parametrize("slug", [starter.slug for starter in starters.starters()])
def test_starters_have_no_problems(slug):
    found = preview_of(starters.archive(slug))
    assert found is not None
    assert found.problems == ()
    assert found.parameters


@pytest.mark.django_db
def test_the_page_of_a_waiting_import_shows_the_preview_to_readers_of_the_files():
    organization = make_organization("acme", is_default=True)
    author = make_user("ada", organizations=(organization,), organization_roles=("organization-admin",))
    version = make_version(user=author, organization=organization, finished=False)
    version.job.file = make_file(author, tar_of({"main.tf": MAIN, "options.tf": OPTIONS}))
    version.job.save(update_fields=["file"])
    assert preview_of_file(version.job.file.pk, user=author.pk)
    text = text_of(browser(author).get(f"/versions/{version.pk}"))
    assert "Found in the files" in text
    assert "token variable , with a hidden default" in text
    assert "hunter2" not in text
    assert "arch string , required, 1 option " in text
    assert "size string , required, 2 options" in text
    other = make_user("omar", organizations=(organization,), organization_roles=("organization-admin",))
    text = text_of(browser(other).get(f"/versions/{version.pk}"))
    assert "Found in the files" not in text


@pytest.mark.django_db
def test_the_page_of_a_starter_shows_its_readme_and_a_button_for_allowed_users():
    organization = make_organization("acme", is_default=True)
    owner = make_user("ada", organizations=(organization,), site_roles=("owner",))
    text = text_of(browser(owner).get("/starters/docker"))
    assert "Before you start" in text
    assert "docker_host variable" in text
    assert "Use this starter" in text
    member = make_user("mira", organizations=(organization,))
    for path in ("/starters/docker", "/starters"):
        assert "new?starter=" not in browser(member).get(path).content.decode()
    assert browser(member).get("/starters/no-such").status_code == 404


@pytest.mark.promise("A5")
@pytest.mark.django_db
@pytest.mark.parametrize(
    "source",
    [
        f"locals {{ a = b{'[0]' * 40_000} }}",
        f"locals {{ a = {'{a=' * 16_000}1{'}' * 16_000} }}",
        f"locals {{ a = [{chr(10) * 120_000}] }}",
        "a = \n" * 24_000,
    ],
)
def test_hostile_configuration_does_not_keep_the_page(owner, organization, source):
    version = make_version(user=owner, organization=organization, finished=False)
    version.job.file = make_file(owner, tar_of({"main.tf": source}))
    version.job.save(update_fields=["file"])
    found = preview_of_file(version.job.file.pk, user=owner.pk)
    assert found is not None
    assert found.parameters == ()
    assert browser(owner).get(f"/versions/{version.pk}").status_code == 200


@pytest.mark.django_db
def test_variable_files_and_null_defaults_are_previewed(owner):
    source = {
        "main.tf": 'variable "a" {}\nvariable "b" {\n  default = null\n}\nvariable "c" {}\n',
        "terraform.tfvars": 'a = "eu"\n',
        "module/terraform.tfvars": 'c = "not of the root"\n',
    }
    found = preview_of_file(make_file(owner, tar_of(source)).pk, user=owner.pk)
    assert [(row.name, row.default_source_value, row.is_required) for row in found.variables] == [
        ("a", "eu", False),
        ("b", None, False),
        ("c", None, True),
    ]


def test_values_that_no_import_can_store_are_problems(owner):
    file = make_file(owner, tar_of({"main.tf": f'variable "{"v" * 65_537}" {{}}'}))
    found = preview_of_file(file.pk, user=owner.pk)
    assert found.variables == ()
    assert "the name has 65537 characters, more than 65536" in found.problems[0].text
