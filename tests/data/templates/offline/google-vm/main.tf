terraform {
  required_providers {
    coder  = { source = "coder/coder" }
    google = { source = "hashicorp/google" }
  }
}

variable "project_id" {
  type        = string
  description = "The project to bill"
  default     = "acme-workspaces"
  validation {
    condition     = length(var.project_id) > 3
    error_message = "A project's id has at least four characters."
  }
}

data "coder_parameter" "zone" {
  name    = "Zone"
  default = "europe-west4-b"
}

data "coder_parameter" "preemptible" {
  name    = "Preemptible"
  type    = "bool"
  default = false
}

provider "google" {
  project = var.project_id
  zone    = data.coder_parameter.zone.value
}

data "coder_workspace" "me" {}

data "google_compute_default_service_account" "default" {}

data "google_compute_image" "debian" {
  family  = "debian-12"
  project = "debian-cloud"
}

data "google_compute_machine_types" "fitting" {
  zone   = data.coder_parameter.zone.value
  filter = "name = 'e2-standard-4'"
}

data "google_compute_zones" "available" {
  status = "UP"
}

locals {
  name  = "coder-${lower(data.coder_workspace.me.owner)}-${lower(data.coder_workspace.me.name)}"
  cores = sum([for type in data.google_compute_machine_types.fitting.machine_types : type.guest_cpus])
  disks = { data = 100, cache = 20 }
}

resource "coder_agent" "main" {
  os             = "linux"
  arch           = "amd64"
  auth           = "google-instance-identity"
  startup_script = <<-EOT
    #!/bin/sh
    set -eu
    echo "cores: ${local.cores}"
    %{for name, size in local.disks~}
    mkdir -p /mnt/${name} # ${size} GB
    %{endfor~}
  EOT
}

resource "google_compute_disk" "root" {
  name  = "${local.name}-root"
  type  = "pd-ssd"
  image = data.google_compute_image.debian.self_link
  size  = max(20, data.google_compute_image.debian.disk_size_gb)
  lifecycle {
    ignore_changes = [image]
  }
}

resource "google_compute_disk" "extra" {
  for_each = local.disks
  name     = "${local.name}-${each.key}"
  size     = each.value
  zone     = element(data.google_compute_zones.available.names, 0)
}

resource "google_compute_instance" "dev" {
  count        = data.coder_workspace.me.start_count
  name         = local.name
  machine_type = "e2-standard-4"
  network_interface {
    network = "default"
    access_config {}
  }
  boot_disk {
    auto_delete = false
    source      = google_compute_disk.root.name
  }
  dynamic "attached_disk" {
    for_each = google_compute_disk.extra
    content {
      source      = attached_disk.value.self_link
      device_name = attached_disk.key
    }
  }
  dynamic "scheduling" {
    for_each = tobool(data.coder_parameter.preemptible.value) ? [1] : []
    content {
      preemptible       = true
      automatic_restart = false
    }
  }
  service_account {
    email  = data.google_compute_default_service_account.default.email
    scopes = ["cloud-platform"]
  }
  metadata_startup_script = <<-EOT
    #!/bin/sh
    useradd -m coder || true
    sudo -u coder sh -c '${coder_agent.main.init_script}'
  EOT
}

resource "coder_agent_instance" "dev" {
  count       = data.coder_workspace.me.start_count
  agent_id    = coder_agent.main.id
  instance_id = google_compute_instance.dev[0].instance_id
}

resource "coder_metadata" "disks" {
  for_each    = google_compute_disk.extra
  resource_id = each.value.id
  hide        = true
}
