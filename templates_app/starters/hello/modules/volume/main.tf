# A simulated disk: replace terraform_data with your cloud's volume.

variable "name" {
  description = "Name of the disk"
  type        = string
}

variable "size_gb" {
  description = "Size of the disk in GB"
  type        = number
}

variable "region" {
  description = "Region of the disk"
  type        = string
}

resource "terraform_data" "volume" {
  input = {
    name    = var.name
    size_gb = var.size_gb
    region  = var.region
  }
}

output "id" {
  description = "Id of the disk"
  value       = terraform_data.volume.id
}
