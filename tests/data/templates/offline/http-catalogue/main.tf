terraform {
  required_providers {
    coder  = { source = "coder/coder" }
    http   = { source = "hashicorp/http" }
    docker = { source = "kreuzwerker/docker" }
    null   = { source = "hashicorp/null" }
    random = { source = "hashicorp/random" }
  }
}

data "coder_workspace" "me" {}

data "http" "catalogue" {
  url = "https://catalogue.example.com/images.json"
  request_headers = {
    Accept = "application/json"
  }
  lifecycle {
    postcondition {
      condition     = self.status_code == 200 || length(self.response_body) > 0
      error_message = "The catalogue cannot be read."
    }
  }
}

data "http" "release" {
  url = "https://api.example.com/releases/latest"
}

data "http" "address" {
  url = "https://address.example.com"
}

locals {
  catalogue = jsondecode(data.http.catalogue.response_body)
  release   = jsondecode(data.http.release.response_body).tag_name
  asset     = jsondecode(data.http.release.response_body).assets[0].browser_download_url
  images    = { for image in local.catalogue : image.name => image }
}

data "coder_parameter" "image" {
  name    = "Image"
  default = "debian"
  dynamic "option" {
    for_each = merge({ debian = { title = "Debian" } }, { for name, image in local.images : name => { title = name } })
    content {
      name  = option.value.title
      value = option.key
    }
  }
}

resource "random_integer" "port" {
  min = 20000
  max = 30000
}

resource "null_resource" "release" {
  triggers = {
    release = local.release
    address = chomp(data.http.address.response_body)
    port    = random_integer.port.result
  }
}

resource "coder_agent" "main" {
  os             = "linux"
  arch           = "amd64"
  startup_script = "curl -fsSL ${local.asset} | tar -xz"
}

resource "coder_app" "web" {
  agent_id = coder_agent.main.id
  slug     = "web"
  url      = "http://localhost:${random_integer.port.result}"
}

resource "docker_container" "workspace" {
  count = data.coder_workspace.me.start_count
  name  = "coder-${data.coder_workspace.me.id}"
  image = try(local.images[data.coder_parameter.image.value].reference, "debian:12")
  env   = ["CODER_AGENT_TOKEN=${coder_agent.main.token}", "RELEASE=${null_resource.release.id}"]
  command = ["sh", "-c", coder_agent.main.init_script]
}
