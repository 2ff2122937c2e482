terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = ">= 0.6.0"
    }
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = "~> 2.0"
    }
  }
}

variable "namespace" {
  description = "Namespace of the workspaces; it must exist"
  type        = string
  default     = "workspaces"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "The namespace must be a valid Kubernetes name."
  }
}

variable "use_kubeconfig" {
  description = "Read ~/.kube/config; false if the daemon runs inside the cluster"
  type        = bool
  default     = false
}

provider "coder" {}

provider "kubernetes" {
  config_path = var.use_kubeconfig ? "~/.kube/config" : null
}

data "coder_workspace" "me" {}

data "coder_parameter" "cpu" {
  name        = "cpu"
  description = "CPU cores of the pod"
  type        = "number"
  default     = "2"
  mutable     = true
  icon        = "/icon/memory.svg"

  option {
    name  = "2 cores"
    value = "2"
  }
  option {
    name  = "4 cores"
    value = "4"
  }
  option {
    name  = "8 cores"
    value = "8"
  }
}

data "coder_parameter" "memory" {
  name        = "memory"
  description = "Memory of the pod in GB"
  type        = "number"
  default     = "4"
  mutable     = true
  icon        = "/icon/memory.svg"

  validation {
    min = 1
    max = 64
  }
}

data "coder_parameter" "home_disk" {
  name        = "home_disk"
  description = "Size of the home disk in GB"
  type        = "number"
  default     = "10"
  icon        = "/icon/database.svg"

  validation {
    min = 1
    max = 500
  }
}

locals {
  labels = {
    "app.kubernetes.io/name"     = "workspace"
    "app.kubernetes.io/instance" = "workspace-${data.coder_workspace.me.id}"
  }
}

resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
  dir  = "/home/coder"

  startup_script = <<-EOT
    set -eu
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
    interval  = 3
    threshold = 10
  }
}

resource "kubernetes_persistent_volume_claim" "home" {
  metadata {
    name      = "workspace-${data.coder_workspace.me.id}-home"
    namespace = var.namespace
    labels    = local.labels
  }

  # Some storage classes bind a claim only when a pod uses it.
  wait_until_bound = false

  spec {
    access_modes = ["ReadWriteOnce"]

    resources {
      requests = {
        storage = "${data.coder_parameter.home_disk.value}Gi"
      }
    }
  }
}

resource "kubernetes_deployment" "workspace" {
  count = data.coder_workspace.me.start_count

  wait_for_rollout = false

  metadata {
    name      = "workspace-${data.coder_workspace.me.id}"
    namespace = var.namespace
    labels    = local.labels
  }

  spec {
    replicas = 1

    selector {
      match_labels = local.labels
    }

    # Only one pod at a time can mount the home disk.
    strategy {
      type = "Recreate"
    }

    template {
      metadata {
        labels = local.labels
      }

      spec {
        security_context {
          run_as_user = 1000
          fs_group    = 1000
        }

        container {
          name    = "workspace"
          image   = "codercom/enterprise-base:ubuntu"
          command = ["sh", "-c", coder_agent.main.init_script]

          security_context {
            run_as_user = 1000
          }

          env {
            name  = "CODER_AGENT_TOKEN"
            value = coder_agent.main.token
          }

          resources {
            requests = {
              cpu    = "250m"
              memory = "512Mi"
            }
            limits = {
              cpu    = data.coder_parameter.cpu.value
              memory = "${data.coder_parameter.memory.value}Gi"
            }
          }

          volume_mount {
            name       = "home"
            mount_path = "/home/coder"
            read_only  = false
          }
        }

        volume {
          name = "home"

          persistent_volume_claim {
            claim_name = kubernetes_persistent_volume_claim.home.metadata[0].name
            read_only  = false
          }
        }
      }
    }
  }
}

resource "coder_metadata" "home" {
  resource_id = kubernetes_persistent_volume_claim.home.id
  icon        = "/icon/database.svg"

  item {
    key   = "size"
    value = "${data.coder_parameter.home_disk.value} GB"
  }
}
