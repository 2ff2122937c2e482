terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = ">= 2.0"
    }
  }
}
data "coder_workspace" "me" {}
data "coder_workspace_owner" "me" {}
data "coder_provisioner" "me" {}
data "coder_task" "me" {}
data "coder_parameter" "tags" {
  name         = "tags"
  display_name = "Tags"
  type         = "list(string)"
  form_type    = "multi-select"
  styling      = jsonencode({ placeholder = "pick" })
  default      = jsonencode(["a"])
  mutable      = true
  ephemeral    = true
  order        = 3
  option {
    name  = "A"
    value = "a"
  }
  option {
    name  = "B"
    value = "b"
  }
}
data "coder_parameter" "cores" {
  name    = "cores"
  type    = "number"
  default = 2
  validation {
    min       = 1
    monotonic = "increasing"
  }
}
data "coder_workspace_preset" "small" {
  name       = "small"
  default    = true
  parameters = { (data.coder_parameter.cores.name) = "1" }
  prebuilds {
    instances = 1
    expiration_policy {
      ttl = 3600
    }
    scheduling {
      timezone = "UTC"
      schedule {
        cron      = "* 8-18 * * 1-5"
        instances = 2
      }
    }
  }
}
data "coder_workspace_tags" "tags" {
  tags = { cores = data.coder_parameter.cores.value }
}
resource "coder_agent" "main" {
  os                      = data.coder_provisioner.me.os
  arch                    = "amd64"
  order                   = 1
  api_key_scope           = "all"
  startup_script_behavior = "blocking"
  env = {
    GIT_AUTHOR_NAME = coalesce(data.coder_workspace_owner.me.full_name, data.coder_workspace_owner.me.name)
  }
  display_apps {
    vscode     = false
    ssh_helper = false
  }
  metadata {
    key          = "cpu"
    display_name = "CPU"
    script       = "coder stat cpu"
    interval     = 10
    timeout      = 1
    order        = 1
  }
  metadata {
    key      = "ram"
    script   = "coder stat mem"
    interval = 10
  }
  resources_monitoring {
    memory {
      enabled   = true
      threshold = 80
    }
    volume {
      path      = "/"
      enabled   = true
      threshold = 90
    }
  }
}
resource "coder_app" "code" {
  agent_id     = coder_agent.main.id
  slug         = "code"
  display_name = "Code"
  url          = "http://localhost:13337"
  open_in      = "tab"
  order        = 1
  group        = "editors"
  hidden       = false
}
resource "coder_script" "start" {
  agent_id           = coder_agent.main.id
  display_name       = "Start"
  script             = "true"
  run_on_start       = true
  start_blocks_login = true
}
resource "coder_env" "name" {
  agent_id = coder_agent.main.id
  name     = "NAME"
  value    = data.coder_workspace.me.template_name
}
resource "coder_devcontainer" "dev" {
  agent_id         = coder_agent.main.id
  workspace_folder = "/workspaces"
}
resource "coder_app" "inside" {
  agent_id = coder_devcontainer.dev.subagent_id
  slug     = "inside"
  command  = "bash"
}
resource "coder_subagent_execution" "box" {
  agent_id          = coder_agent.main.id
  name              = "box"
  driver            = "example"
  shared_host_path  = "/workspace"
  shared_child_path = "/workspace"
}
resource "coder_script_order" "order" {
  rule {
    run   = [coder_script.start.id]
    after = [coder_script.secret.id]
    state = "completes"
  }
}
data "coder_secret" "token" {
  env          = "MY_TOKEN"
  help_message = "A personal access token"
}
resource "coder_script" "secret" {
  agent_id     = coder_agent.main.id
  display_name = "Secret"
  script       = "echo ${nonsensitive(data.coder_secret.token.value)}"
  cron         = "0 0 22 * * *"
}
resource "coder_ai_task" "task" {
  app_id = coder_app.code.id
}
resource "terraform_data" "vm" {
  count = data.coder_workspace.me.is_prebuild ? 0 : data.coder_workspace.me.start_count
  input = coder_agent.main.init_script
}
