"""Jobs of the real Terraform in a healthy daemon: stages, values, cancellation, bounds of the results."""

import pytest

from provisioning.models import JobStatus, ParameterSchema, WorkspaceResource
from provisioning.queue import jobs
from templates_app.models import RichParameter
from tests.vocabulary import log_of, queue_dry_run, queue_import, run_import, wait_for_job, wait_for_log

pytestmark = pytest.mark.django_db(transaction=True)

TEMPLATE = """
terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}
variable "region" { default = "eu" }
resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
}
resource "terraform_data" "dev" {
  input = coder_agent.main.id
}
"""


@pytest.mark.terraform
def test_a_terraform_template_goes_through_all_stages(daemon):
    job, _ = run_import({"main.tf": TEMPLATE, "README.md": "# dev"}, provisioner="terraform")
    assert (job.status, job.error) == (JobStatus.SUCCEEDED, "")
    assert WorkspaceResource.objects.get(job=job, workspace_transition="start").agents.get().name == "main"
    stages = [stage for _, _, stage, output in log_of(job) if not output]
    assert stages == [
        "Setting up",
        "Adding README.md...",
        "Parsing template parameters",
        "Detecting persistent resources",
        "Detecting ephemeral resources",
        "Cleaning Up",
    ]


@pytest.mark.terraform
def test_variable_files_are_values_of_the_template(daemon):
    source = {
        "main.tf": 'variable "region" {}\nvariable "size" {\n  default = "small"\n}\n'
        'variable "token" {\n  sensitive = true\n}\nvariable "proxy" {\n  default = null\n}\n',
        "terraform.tfvars": 'region = "eu"\ntoken = "hunter2-secret"\n',
        "more.auto.tfvars": 'size = "large"\n',
    }
    version = queue_import(source, provisioner="terraform")
    job = wait_for_job(version.job)
    assert (job.status, job.error) == (JobStatus.SUCCEEDED, "")
    shown = dict(ParameterSchema.objects.filter(job=job).values_list("name", "default_source_value"))
    assert shown == {"region": "eu", "size": "large", "token": "hunter2-secret", "proxy": ""}
    assert ParameterSchema.objects.get(job=job, name="token").redisplay_value is False
    assert [output for *_, output in log_of(job) if "sets" in output] == [
        "terraform.tfvars sets region, token",
        "more.auto.tfvars sets size",
    ]
    assert wait_for_job(queue_dry_run(version)).status == JobStatus.SUCCEEDED


@pytest.mark.promise("R6")
@pytest.mark.terraform
def test_a_running_terraform_can_be_canceled(daemon):
    """The plan of a million resources takes a while."""
    slow = 'resource "terraform_data" "x" {\n  count = 200000\n  input = sha512(count.index)\n}\n'
    version = queue_import({"main.tf": slow}, provisioner="terraform")
    wait_for_log(version.job, stage="Detecting persistent resources")
    jobs.cancel(version.job_id)
    job = wait_for_job(version.job, 10)
    assert (job.status, job.error) == (JobStatus.CANCELED, "")


def test_an_archive_without_terraform_files_fails(daemon):
    job, _ = run_import(bytes(1024), provisioner="terraform")
    assert (job.status, job.error) == (JobStatus.FAILED, "no .tf file in the template's root folder")


LONG = "long" * 2_000
ICON = f"data:image/svg+xml;base64,{'A' * 100_000}"
WIDE = f"""
variable "{LONG}" {{
  type        = object({{ {LONG} = optional(string) }})
  default     = {{}}
  description = "{LONG * 2}"
  validation {{
    condition     = var.{LONG} != null && "{LONG}" != ""
    error_message = "Must be {LONG}."
  }}
}}
data "coder_parameter" "size" {{
  name    = "{LONG}"
  type    = "number"
  default = 5
  icon    = "{ICON}"
  validation {{
    min = 1
    max = 8589934592
  }}
}}
resource "coder_agent" "{LONG}" {{
  os                 = "linux"
  arch               = "amd64"
  dir                = "/{LONG}"
  connection_timeout = 8589934592
}}
resource "coder_app" "app" {{
  agent_id     = coder_agent.{LONG}.id
  slug         = "{LONG}"
  display_name = "{LONG}"
  icon         = "{ICON}"
  url          = "http://localhost"
  healthcheck {{
    url       = "http://localhost"
    interval  = 8589934592
    threshold = 6
  }}
}}
resource "terraform_data" "{LONG}" {{
  input = coder_agent.{LONG}.id
}}
resource "coder_metadata" "m" {{
  resource_id = terraform_data.{LONG}.id
  daily_cost  = 8589934592
  icon        = "{ICON}"
  item {{
    key   = "{LONG}"
    value = "{LONG}"
  }}
}}
"""


@pytest.mark.terraform
def test_long_texts_and_large_numbers_are_stored_whole(daemon):
    job, version = run_import({"main.tf": WIDE}, provisioner="terraform")
    assert (job.error, job.status) == ("", JobStatus.SUCCEEDED)
    schema = ParameterSchema.objects.get(job=job)
    assert (schema.name, schema.description) == (LONG, LONG * 2)
    assert schema.validation_value_type == f"object({{ {LONG} = optional(string) }})"
    assert schema.validation_error == f"Must be {LONG}."
    assert LONG in schema.validation_condition
    parameter = RichParameter.objects.get(template_version=version)
    assert (parameter.name, parameter.icon, parameter.validation_max) == (LONG, ICON, 2**33)
    resource = WorkspaceResource.objects.get(job=job, workspace_transition="start")
    assert (resource.name, resource.icon, resource.daily_cost) == (LONG, ICON, 2**33)
    assert resource.metadata.get().key == LONG
    agent = resource.agents.get()
    assert (agent.name, agent.directory, agent.connection_timeout_seconds) == (LONG, f"/{LONG}", 2**33)
    app = agent.apps.get()
    assert (app.slug, app.display_name, app.icon, app.healthcheck_interval) == (LONG, LONG, ICON, 2**33)


@pytest.mark.terraform
def test_a_text_over_its_bound_is_named(daemon):
    source = f'data "coder_parameter" "size" {{\n  name = "Size"\n  icon = "{"x" * 300_000}"\n}}\n'
    job, _ = run_import({"main.tf": source}, provisioner="terraform")
    assert job.status == JobStatus.FAILED
    problem = 'parameter "Size": the icon has 300000 characters, more than 262144'
    assert job.error == f"the job's results cannot be stored: {problem}"
