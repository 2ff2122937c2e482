terraform {
  required_providers {
    coder        = { source = "coder/coder" }
    digitalocean = { source = "digitalocean/digitalocean" }
    random       = { source = "hashicorp/random" }
  }
}

variable "project" {
  type    = string
  default = "workspaces"
}

data "coder_workspace" "me" {}

data "coder_parameter" "size" {
  name        = "Droplet size"
  description = "Cores and memory"
  default     = "s-1vcpu-1gb"
  icon        = "/icon/memory.svg"
  option {
    name  = "1 core, 1 GB"
    value = "s-1vcpu-1gb"
  }
  option {
    name  = "2 cores, 4 GB"
    value = "s-2vcpu-4gb"
  }
}

data "coder_parameter" "home" {
  name    = "Home volume size"
  type    = "number"
  default = "20"
  validation {
    min       = 1
    max       = 100
    monotonic = "increasing"
  }
}

provider "digitalocean" {}

data "digitalocean_project" "main" {
  name = var.project
}

data "digitalocean_image" "debian" {
  slug = "debian-12-x64"
}

data "digitalocean_ssh_keys" "all" {
  sort {
    key       = "name"
    direction = "asc"
  }
}

data "digitalocean_sizes" "cheap" {
  filter {
    key    = "vcpus"
    values = [1, 2]
  }
}

data "digitalocean_regions" "available" {
  filter {
    key    = "available"
    values = ["true"]
  }
}

locals {
  region = data.digitalocean_regions.available.regions[0].slug
  prices = { for size in data.digitalocean_sizes.cheap.sizes : size.slug => size.price_monthly }
  keys   = [for key in data.digitalocean_ssh_keys.all.ssh_keys : key.id]
}

resource "random_pet" "name" {
  length = 2
  keepers = {
    image = data.digitalocean_image.debian.id
  }
}

resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
  dir  = "/home/coder"
}

resource "digitalocean_volume" "home" {
  region                   = local.region
  name                     = "coder-${data.coder_workspace.me.id}-home"
  size                     = data.coder_parameter.home.value
  initial_filesystem_type  = "ext4"
  initial_filesystem_label = "coder-home"
  lifecycle {
    ignore_changes = [name]
  }
}

resource "digitalocean_droplet" "workspace" {
  count      = data.coder_workspace.me.start_count
  region     = local.region
  name       = random_pet.name.id
  image      = data.digitalocean_image.debian.slug
  size       = data.coder_parameter.size.value
  ssh_keys   = local.keys
  volume_ids = [digitalocean_volume.home.id]
  user_data = templatefile("cloud-config.yaml.tftpl", {
    username  = lower(data.coder_workspace.me.owner)
    volume    = digitalocean_volume.home.initial_filesystem_label
    script    = base64encode(coder_agent.main.init_script)
    token     = coder_agent.main.token
  })
}

resource "digitalocean_project_resources" "main" {
  project   = data.digitalocean_project.main.id
  resources = length(digitalocean_droplet.workspace) > 0 ? [digitalocean_volume.home.urn, digitalocean_droplet.workspace[0].urn] : [digitalocean_volume.home.urn]
}

resource "coder_metadata" "workspace" {
  count       = data.coder_workspace.me.start_count
  resource_id = digitalocean_droplet.workspace[0].id
  item {
    key   = "price"
    value = lookup(local.prices, data.coder_parameter.size.value, "unknown")
  }
}

resource "coder_metadata" "home" {
  resource_id = digitalocean_volume.home.id
  item {
    key   = "size"
    value = "${digitalocean_volume.home.size} GiB"
  }
}
