terraform {
  required_providers {
    coder = { source = "coder/coder" }
    aws   = { source = "hashicorp/aws" }
    tls   = { source = "hashicorp/tls" }
  }
}

provider "aws" {
  region = "eu-central-1"
}

provider "aws" {
  alias  = "images"
  region = "us-east-1"
}

variable "machines" {
  type = map(object({ kind = string, disk = number }))
  default = {
    build = { kind = "c6i.xlarge", disk = 100 }
    test  = { kind = "t3.medium", disk = 30 }
  }
}

data "coder_workspace" "me" {}

data "aws_ami" "by_system" {
  provider    = aws.images
  for_each    = { linux = "al2023-ami-*", windows = "Windows_Server-2022-English-Full-Base-*" }
  most_recent = true
  owners      = ["amazon"]
  filter {
    name   = "name"
    values = [each.value]
  }
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_instances" "running" {
  instance_tags = { pool = "workspaces" }
}

data "aws_route53_zone" "main" {
  name = "example.com"
}

resource "coder_agent" "linux" {
  os   = "linux"
  arch = "amd64"
}

resource "coder_agent" "windows" {
  os   = "windows"
  arch = "amd64"
}

resource "coder_app" "shell" {
  agent_id = coder_agent.linux.id
  slug     = "shell"
  command  = "htop"
}

resource "coder_app" "desktop" {
  agent_id = coder_agent.windows.id
  slug     = "desktop"
  url      = "http://localhost:3389"
}

resource "tls_private_key" "login" {
  algorithm = "RSA"
}

resource "aws_key_pair" "login" {
  key_name   = "coder-${data.coder_workspace.me.id}"
  public_key = tls_private_key.login.public_key_openssh
}

resource "aws_iam_role" "machine" {
  name               = "coder-machine"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  inline_policy {
    name = "describe"
    policy = jsonencode({
      Version   = "2012-10-17"
      Statement = [{ Effect = "Allow", Action = "ec2:Describe*", Resource = "*" }]
    })
  }
}

resource "aws_instance" "linux" {
  for_each      = var.machines
  ami           = data.aws_ami.by_system["linux"].id
  instance_type = each.value.kind
  key_name      = aws_key_pair.login.key_name
  user_data     = each.key == "build" ? coder_agent.linux.init_script : null
  dynamic "root_block_device" {
    for_each = [each.value.disk]
    content {
      volume_size = root_block_device.value
      volume_type = data.aws_ami.by_system["linux"].block_device_mappings[0].ebs.volume_type
    }
  }
}

resource "aws_instance" "windows" {
  count             = data.coder_workspace.me.start_count
  ami               = data.aws_ami.by_system["windows"].id
  instance_type     = "m5.large"
  get_password_data = true
  user_data         = <<-EOT
    <powershell>
    ${coder_agent.windows.init_script}
    </powershell>
    <persist>true</persist>
  EOT
}

resource "aws_route53_record" "linux" {
  for_each = aws_instance.linux
  zone_id  = data.aws_route53_zone.main.zone_id
  name     = "${each.key}.${data.aws_route53_zone.main.name}"
  type     = "A"
  records  = [each.value.private_ip]
}

output "password" {
  sensitive = true
  value     = one([for machine in aws_instance.windows : rsadecrypt(machine.password_data, tls_private_key.login.private_key_pem)])
}

output "neighbours" {
  value = length(data.aws_instances.running.ids)
}
