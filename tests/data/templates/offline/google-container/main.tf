terraform {
  required_providers {
    coder  = { source = "coder/coder" }
    google = { source = "hashicorp/google" }
  }
}

provider "google" {
  project = "acme-workspaces"
}

provider "google" {
  alias   = "shared"
  project = "acme-shared"
}

data "coder_workspace" "me" {}

resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
}

resource "coder_agent" "builder" {
  os   = "linux"
  arch = "amd64"
}

resource "coder_app" "jupyter" {
  agent_id = coder_agent.main.id
  slug     = "jupyter"
  url      = "http://localhost:8888"
}

module "container" {
  source  = "terraform-google-modules/container-vm/google"
  version = "~> 3.0"
  container = {
    image   = "example/workspace:latest"
    command = ["sh"]
    args    = ["-c", coder_agent.main.init_script]
    env     = [{ name = "CODER_AGENT_TOKEN", value = coder_agent.main.token }]
  }
}

module "network" {
  source       = "git::https://git.example.com/infrastructure/network.git//modules/vpc?ref=v2.1.0"
  network_name = "workspaces"
  providers = {
    google        = google
    google.shared = google.shared
  }
}

module "builder" {
  source    = "github.com/acme/build-machine"
  count     = data.coder_workspace.me.start_count
  subnet    = values(module.network.subnets)[0].self_link
  user_data = coder_agent.builder.init_script
}

resource "google_compute_firewall" "web" {
  for_each      = toset(module.network.subnet_ranges)
  name          = "web-${md5(each.value)}"
  network       = module.network.network_name
  source_ranges = [each.value, cidrsubnet(module.network.range, 4, 2)]
}

resource "google_compute_instance" "dev" {
  count        = data.coder_workspace.me.start_count
  name         = "coder-${lower(data.coder_workspace.me.name)}"
  machine_type = "e2-medium"
  zone         = "europe-west4-b"
  boot_disk {
    initialize_params {
      image = module.container.source_image
    }
  }
  network_interface {
    subnetwork = module.network.subnets["europe-west4/dev"].self_link
  }
  metadata = {
    "gce-container-declaration" = module.container.metadata_value
  }
  labels = {
    (module.container.vm_container_label_key) = module.container.vm_container_label
  }
}

resource "coder_metadata" "builder" {
  count       = data.coder_workspace.me.start_count
  resource_id = module.builder[0].instance_id
  item {
    key   = "address"
    value = module.builder[0].addresses[0].ip
  }
}
