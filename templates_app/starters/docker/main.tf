terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = ">= 0.6.0"
    }
    docker = {
      source  = "kreuzwerker/docker"
      version = "~> 3.0"
    }
  }
}

variable "docker_host" {
  description = "Address of the Docker daemon; empty for the local socket"
  type        = string
  default     = ""
}

provider "coder" {}

provider "docker" {
  host = var.docker_host != "" ? var.docker_host : null
}

data "coder_provisioner" "me" {}

data "coder_workspace" "me" {}

data "coder_parameter" "image" {
  name        = "image"
  description = "The image that the container runs"
  default     = "debian:stable"
  mutable     = true
  icon        = "/icon/docker.svg"

  option {
    name  = "Debian"
    value = "debian:stable"
  }
  option {
    name  = "Ubuntu"
    value = "ubuntu:latest"
  }
  option {
    name  = "Python"
    value = "python:3"
  }
}

data "coder_parameter" "memory" {
  name        = "memory"
  description = "Memory of the container in MB"
  type        = "number"
  default     = "2048"
  mutable     = true
  icon        = "/icon/memory.svg"

  validation {
    min = 256
    max = 65536
  }
}

locals {
  name = lower("coder-${data.coder_workspace.me.owner}-${data.coder_workspace.me.name}")
}

resource "coder_agent" "main" {
  os   = "linux"
  arch = data.coder_provisioner.me.arch
  dir  = "/home/coder"

  # In images without curl the editor is not started; the terminal still works.
  startup_script = <<-EOT
    set -eu
    command -v curl >/dev/null || exit 0
    curl -fsSL https://code-server.dev/install.sh | sh -s -- --method=standalone --prefix=/tmp/code-server
    /tmp/code-server/bin/code-server --auth none --port 13337 >/tmp/code-server.log 2>&1 &
  EOT
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

resource "docker_volume" "home" {
  name = "coder-${data.coder_workspace.me.id}-home"

  # Do not replace the volume, and lose its files, when an attribute changes.
  lifecycle {
    ignore_changes = all
  }
}

resource "docker_image" "workspace" {
  name         = data.coder_parameter.image.value
  keep_locally = true
}

resource "docker_container" "workspace" {
  count = data.coder_workspace.me.start_count

  name     = local.name
  hostname = data.coder_workspace.me.name
  image    = docker_image.workspace.image_id
  memory   = data.coder_parameter.memory.value

  # Inside the container, localhost is the container itself, not the host.
  entrypoint = ["sh", "-c", replace(coder_agent.main.init_script, "/localhost|127\\.0\\.0\\.1/", "host.docker.internal")]
  env = [
    "CODER_AGENT_TOKEN=${coder_agent.main.token}",
    "HOME=/home/coder",
  ]

  host {
    host = "host.docker.internal"
    ip   = "host-gateway"
  }

  volumes {
    container_path = "/home/coder"
    volume_name    = docker_volume.home.name
    read_only      = false
  }
}

resource "coder_metadata" "container" {
  count = data.coder_workspace.me.start_count

  resource_id = docker_container.workspace[0].id
  icon        = "/icon/docker.svg"

  item {
    key   = "image"
    value = data.coder_parameter.image.value
  }
  item {
    key   = "memory"
    value = "${data.coder_parameter.memory.value} MB"
  }
}
