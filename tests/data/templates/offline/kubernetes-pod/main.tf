terraform {
  required_providers {
    coder      = { source = "coder/coder" }
    kubernetes = { source = "hashicorp/kubernetes", version = ">= 2.18" }
    tls        = { source = "hashicorp/tls" }
  }
}

variable "namespace" {
  type    = string
  default = "workspaces"
}

variable "sidecars" {
  type = list(object({
    name  = string
    image = string
    env   = optional(map(string), {})
  }))
  default = [
    { name = "proxy", image = "envoyproxy/envoy:v1.29-latest", env = { LEVEL = "info" } },
    { name = "cache", image = "redis:7" },
  ]
}

variable "registry_password" {
  type      = string
  default   = "open-sesame"
  sensitive = true
}

provider "kubernetes" {
  config_path = null
  experiments {
    manifest_resource = true
  }
}

data "coder_workspace" "me" {}

data "coder_parameter" "cpu" {
  name    = "CPU"
  type    = "number"
  default = "2"
  mutable = true
}

data "kubernetes_storage_class" "fast" {
  metadata {
    name = "fast"
  }
}

data "kubernetes_nodes" "all" {
  metadata {
    labels = { pool = "workspaces" }
  }
}

data "kubernetes_config_map" "settings" {
  metadata {
    name      = "settings"
    namespace = var.namespace
  }
}

data "kubernetes_service" "registry" {
  metadata {
    name = "registry"
  }
}

locals {
  labels = {
    "app.kubernetes.io/name"     = "coder-workspace"
    "app.kubernetes.io/instance" = "coder-${data.coder_workspace.me.id}"
  }
  settings = yamldecode(data.kubernetes_config_map.settings.data["workspace.yaml"])
  kernels  = distinct([for node in data.kubernetes_nodes.all.nodes : node.status[0].node_info[0].kernel_version])
}

resource "coder_agent" "dev" {
  os             = "linux"
  arch           = "amd64"
  startup_script = "echo ${local.settings.greeting} on ${join(", ", local.kernels)}"
}

resource "coder_app" "editor" {
  agent_id  = coder_agent.dev.id
  slug      = "editor"
  url       = "http://localhost:13337"
  subdomain = true
}

resource "tls_private_key" "host" {
  algorithm = "ED25519"
}

resource "tls_self_signed_cert" "web" {
  private_key_pem = tls_private_key.host.private_key_pem
  subject {
    common_name = "${lower(data.coder_workspace.me.name)}.example.com"
  }
  validity_period_hours = 720
  allowed_uses          = ["server_auth"]
}

resource "kubernetes_secret" "pull" {
  metadata {
    name      = "pull-${data.coder_workspace.me.id}"
    namespace = var.namespace
  }
  type = "kubernetes.io/dockerconfigjson"
  data = {
    ".dockerconfigjson" = jsonencode({
      auths = {
        (data.kubernetes_service.registry.spec[0].cluster_ip) = {
          auth = base64encode("coder:${var.registry_password}")
        }
      }
    })
  }
}

resource "kubernetes_persistent_volume_claim" "home" {
  metadata {
    name      = "coder-${data.coder_workspace.me.id}-home"
    namespace = var.namespace
    labels    = local.labels
  }
  wait_until_bound = false
  spec {
    access_modes       = ["ReadWriteOnce"]
    storage_class_name = data.kubernetes_storage_class.fast.metadata[0].name
    resources {
      requests = { storage = "10Gi" }
    }
  }
}

resource "kubernetes_pod" "workspace" {
  count = data.coder_workspace.me.start_count
  metadata {
    name        = "coder-${lower(data.coder_workspace.me.owner)}-${lower(data.coder_workspace.me.name)}"
    namespace   = kubernetes_persistent_volume_claim.home.metadata[0].namespace
    labels      = local.labels
    annotations = { certificate = sha256(tls_self_signed_cert.web.cert_pem) }
  }
  spec {
    image_pull_secrets {
      name = kubernetes_secret.pull.metadata[0].name
    }
    security_context {
      run_as_user = "1000"
      fs_group    = "1000"
    }
    container {
      name    = "dev"
      image   = "example/workspace:latest"
      command = ["sh", "-c", coder_agent.dev.init_script]
      env {
        name  = "CODER_AGENT_TOKEN"
        value = coder_agent.dev.token
      }
      resources {
        requests = { cpu = "250m", memory = "512Mi" }
        limits   = { cpu = data.coder_parameter.cpu.value, memory = "${2 * data.coder_parameter.cpu.value}Gi" }
      }
      volume_mount {
        mount_path = "/home/coder"
        name       = "home"
      }
    }
    dynamic "container" {
      for_each = { for sidecar in var.sidecars : sidecar.name => sidecar }
      content {
        name  = container.key
        image = container.value.image
        dynamic "env" {
          for_each = container.value.env
          content {
            name  = env.key
            value = env.value
          }
        }
      }
    }
    volume {
      name = "home"
      persistent_volume_claim {
        claim_name = kubernetes_persistent_volume_claim.home.metadata.0.name
      }
    }
    affinity {
      pod_anti_affinity {
        preferred_during_scheduling_ignored_during_execution {
          weight = 1
          pod_affinity_term {
            topology_key = "kubernetes.io/hostname"
          }
        }
      }
    }
  }
}
