"""Planning a template of our own, so that nothing is done for the first time when a job comes."""

from provisioning.engine.base import LogLevel, PlanInput
from provisioning.engine.hcl import read_module
from provisioning.engine.terraform.job import Job
from provisioning.engine.terraform.job_runtime import JobRuntime

# One of everything that templates are made of. No provider needs a stub: those would be served until the job comes.
_TEMPLATE = """
terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}
variable "size" { default = 1 }
locals { name = "warm-${var.size}" }
data "coder_workspace" "me" {}
data "coder_parameter" "choice" {
  name    = "choice"
  default = "a"
}
resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
  env  = { CHOICE = data.coder_parameter.choice.value }
}
resource "coder_app" "editor" {
  agent_id = coder_agent.main.id
  slug     = "editor"
  url      = "http://localhost:8080"
}
resource "terraform_data" "machine" {
  count = data.coder_workspace.me.start_count
  input = jsonencode({ name = local.name, token = coder_agent.main.token })
}
output "names" { value = [for machine in terraform_data.machine : upper(local.name)] }
"""


def plan_sample(workplace: JobRuntime) -> None:
    """Import a small template in the workplace's folder, which must be empty and is so again. Raises EngineError."""
    path = workplace.directory / "main.tf"
    path.write_text(_TEMPLATE)
    try:
        Job(workplace, read_module(workplace.directory), PlanInput(), _ignore).plan_import()
    finally:
        path.unlink()
        workplace.clear()


def _ignore(level: LogLevel, stage: str, output: str) -> None:
    pass
