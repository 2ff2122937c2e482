"""Plan a sample template, so that a job does not pay for the first plan of a process."""

from provisioning.engine.base import LogLevel, PlanInput
from provisioning.engine.hcl import read_module
from provisioning.engine.terraform.job import Job
from provisioning.engine.terraform.job_runtime import JobRuntime

# One of each kind of block. No provider needs a stub, which would be served until the job starts.
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


def plan_sample(runtime: JobRuntime) -> None:
    """Import a small template in the runtime's folder, which must be empty and is emptied again. Raises EngineError."""
    path = runtime.directory / "main.tf"
    path.write_text(_TEMPLATE)
    try:
        Job(runtime, read_module(runtime.directory), PlanInput(), _ignore).plan_import()
    finally:
        path.unlink()
        runtime.remove_plans()


def _ignore(level: LogLevel, stage: str, output: str) -> None:
    pass
