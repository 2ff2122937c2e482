terraform {
  required_providers {
    coder  = { source = "coder/coder" }
    docker = { source = "kreuzwerker/docker", version = "~> 2.20" }
    random = { source = "hashicorp/random" }
    null   = { source = "hashicorp/null" }
  }
}

variable "docker_host" {
  default     = ""
  description = "Where the engine listens, empty for this machine"
}

provider "docker" {
  host = var.docker_host != "" ? var.docker_host : null
  registry_auth {
    address = "registry.example.com"
  }
}

data "coder_provisioner" "me" {}

data "coder_workspace" "me" {}

data "coder_git_auth" "forge" {
  id = "forge"
}

data "docker_registry_image" "database" {
  for_each = local.services
  name     = each.value.image
}

data "docker_network" "bridge" {
  name = "bridge"
}

locals {
  username = try(data.coder_workspace.me.owner, "coder")
  services = {
    postgres = { image = "postgres:15", port = 5432 }
    redis    = { image = "redis:7", port = 6379 }
  }
  gateway = [for config in data.docker_network.bridge.ipam_config : config.gateway][0]
}

resource "random_password" "database" {
  length  = 16
  special = false
}

resource "random_shuffle" "ports" {
  input        = ["8080", "8081", "8082"]
  result_count = 1
}

resource "null_resource" "sources" {
  triggers = {
    checksum = sha1(join("", [for f in fileset(path.module, "build/*") : filesha1("${path.module}/${f}")]))
    owner    = local.username
  }
}

resource "coder_agent" "main" {
  os   = "linux"
  arch = data.coder_provisioner.me.arch
  dir  = "/home/${local.username}"
  env = {
    DATABASE_URL = "postgres://dev:${random_password.database.result}@postgres:5432/dev"
    GIT_TOKEN    = data.coder_git_auth.forge.access_token
  }
}

resource "coder_app" "service" {
  for_each     = local.services
  agent_id     = coder_agent.main.id
  slug         = each.key
  display_name = title(each.key)
  url          = "http://localhost:${each.value.port}"
  share        = each.key == "redis" ? "authenticated" : "owner"
}

resource "docker_network" "private" {
  name = "coder-${data.coder_workspace.me.id}"
  ipam_config {
    subnet = "172.28.0.0/16"
  }
}

resource "docker_volume" "home" {
  name = "coder-${data.coder_workspace.me.id}-home"
  lifecycle {
    ignore_changes = all
  }
  dynamic "labels" {
    for_each = { owner = data.coder_workspace.me.owner, workspace = data.coder_workspace.me.name }
    content {
      label = "coder.${labels.key}"
      value = labels.value
    }
  }
}

resource "docker_image" "workspace" {
  name = "coder-base"
  build {
    context    = "./build"
    build_args = { USER = local.username }
  }
  triggers   = null_resource.sources.triggers
  depends_on = [null_resource.sources]
}

resource "docker_container" "service" {
  for_each = data.coder_workspace.me.start_count > 0 ? local.services : {}
  name     = "coder-${data.coder_workspace.me.id}-${each.key}"
  image    = "${each.value.image}@${data.docker_registry_image.database[each.key].sha256_digest}"
  networks_advanced {
    name    = docker_network.private.name
    aliases = [each.key]
  }
  ports {
    internal = each.value.port
    external = tonumber(random_shuffle.ports.result[0])
  }
}

resource "docker_container" "workspace" {
  count    = data.coder_workspace.me.start_count
  image    = docker_image.workspace.image_id
  name     = "coder-${local.username}-${lower(data.coder_workspace.me.name)}"
  hostname = data.coder_workspace.me.name
  entrypoint = [
    "sh", "-c", replace(coder_agent.main.init_script, "/localhost|127\\.0\\.0\\.1/", "host.docker.internal")
  ]
  env = ["CODER_AGENT_TOKEN=${coder_agent.main.token}"]
  host {
    host = "host.docker.internal"
    ip   = local.gateway
  }
  volumes {
    container_path = "/home/${local.username}"
    volume_name    = docker_volume.home.name
  }
  networks_advanced {
    name = docker_network.private.name
  }
  depends_on = [docker_container.service]
}
