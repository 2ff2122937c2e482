terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = ">= 0.6.0"
    }
  }
}

provider "coder" {}

# Fixed for all workspaces when a version of the template is imported.
variable "region" {
  description = "Region of the template's workspaces"
  type        = string
  default     = "eu"

  validation {
    condition     = contains(["eu", "us", "asia"], var.region)
    error_message = "The region must be eu, us or asia."
  }
}

data "coder_workspace" "me" {}

# Set for each workspace.
data "coder_parameter" "project" {
  name        = "project"
  description = "A short name of your project"
  type        = "string"
  default     = "hello"
  mutable     = true
  icon        = "/icon/folder.svg"

  validation {
    regex = "^[a-z][a-z0-9-]{1,30}$"
    error = "Use 2 to 31 lower-case letters, digits and dashes, starting with a letter."
  }
}

data "coder_parameter" "disk_size" {
  name        = "disk_size"
  description = "Size of the home disk in GB"
  type        = "number"
  default     = "10"
  icon        = "/icon/database.svg"

  validation {
    min = 1
    max = 100
  }
}

data "coder_parameter" "monitoring" {
  name        = "monitoring"
  description = "Whether to run the monitor"
  type        = "bool"
  default     = "true"
  mutable     = true
  icon        = "/icon/pulse.svg"
}

data "coder_parameter" "machine_type" {
  name        = "machine_type"
  description = "Size of the machine"
  type        = "string"
  default     = "small"
  mutable     = true
  icon        = "/icon/memory.svg"

  option {
    name        = "Small"
    value       = "small"
    description = "2 CPUs, 4 GB of memory"
  }
  option {
    name        = "Medium"
    value       = "medium"
    description = "4 CPUs, 8 GB of memory"
  }
  option {
    name        = "Large"
    value       = "large"
    description = "8 CPUs, 32 GB of memory"
  }
}

locals {
  workspace  = lower("${data.coder_workspace.me.owner}-${data.coder_workspace.me.name}")
  daily_cost = { small = 1, medium = 2, large = 5 }
}

# The main agent, which developers work with.
resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
  dir  = "/home/coder/${data.coder_parameter.project.value}"
  env = {
    PROJECT = data.coder_parameter.project.value
    REGION  = var.region
  }

  startup_script = <<-EOT
    set -eu
    mkdir -p "$HOME/$PROJECT"
    echo "Welcome to ${local.workspace}."
  EOT
}

# A second agent, for tools that run separately from the first.
resource "coder_agent" "tools" {
  os             = "linux"
  arch           = "amd64"
  startup_script = "echo 'The tools are ready.'"
}

resource "coder_app" "editor" {
  agent_id     = coder_agent.main.id
  slug         = "editor"
  display_name = "Editor"
  icon         = "/icon/code.svg"
  url          = "http://localhost:13337/?folder=/home/coder"
  subdomain    = false
  share        = "owner"

  healthcheck {
    url       = "http://localhost:13337/healthz"
    interval  = 5
    threshold = 6
  }
}

resource "coder_app" "terminal" {
  agent_id     = coder_agent.main.id
  slug         = "terminal"
  display_name = "System monitor"
  icon         = "/icon/terminal.svg"
  command      = "top"
}

resource "coder_app" "monitor" {
  count = data.coder_parameter.monitoring.value == "true" ? 1 : 0

  agent_id     = coder_agent.tools.id
  slug         = "monitor"
  display_name = "Monitor"
  icon         = "/icon/pulse.svg"
  url          = "http://localhost:9090"
  share        = "authenticated"
}

# Survives a stop: the disk exists as long as the workspace.
module "disk" {
  source = "./modules/volume"

  name    = "${local.workspace}-home"
  size_gb = data.coder_parameter.disk_size.value
  region  = var.region
}

# Exists only while the workspace runs.
resource "terraform_data" "machine" {
  count = data.coder_workspace.me.start_count

  input = {
    type   = data.coder_parameter.machine_type.value
    disk   = module.disk.id
    script = coder_agent.main.init_script
    token  = coder_agent.main.token
  }
}

resource "terraform_data" "sidecar" {
  count = data.coder_workspace.me.start_count

  input = {
    script = coder_agent.tools.init_script
    token  = coder_agent.tools.token
  }
}

resource "terraform_data" "cache" {
  for_each = toset(["packages", "images"])

  input = {
    name = "${local.workspace}-${each.key}"
    disk = module.disk.id
  }
}

resource "coder_metadata" "machine" {
  count = data.coder_workspace.me.start_count

  resource_id = terraform_data.machine[0].id
  icon        = "/icon/memory.svg"
  daily_cost  = local.daily_cost[data.coder_parameter.machine_type.value]

  item {
    key   = "type"
    value = data.coder_parameter.machine_type.value
  }
  item {
    key       = "token"
    value     = coder_agent.main.token
    sensitive = true
  }
}

resource "coder_metadata" "disk" {
  resource_id = module.disk.id
  icon        = "/icon/database.svg"

  item {
    key   = "size"
    value = "${data.coder_parameter.disk_size.value} GB"
  }
  item {
    key   = "region"
    value = var.region
  }
}
