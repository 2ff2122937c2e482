terraform {
  required_providers {
    coder = {
      source  = "coder/coder"
      version = "~> 0.6"
    }
    aws = {
      source  = "hashicorp/aws"
      version = ">= 4.0"
    }
  }
}

variable "tags" {
  type    = map(string)
  default = { team = "platform" }
}

data "coder_workspace" "me" {}

data "coder_parameter" "region" {
  name    = "Region"
  default = "eu-central-1"
  option {
    name  = "Frankfurt"
    value = "eu-central-1"
  }
  option {
    name  = "Ohio"
    value = "us-east-2"
  }
}

data "coder_parameter" "disks" {
  name    = "Extra disks"
  type    = "number"
  default = 2
  validation {
    min = 0
    max = 4
  }
}

provider "aws" {
  region = data.coder_parameter.region.value
  default_tags {
    tags = var.tags
  }
}

data "aws_caller_identity" "current" {}

data "aws_ami" "ubuntu" {
  most_recent = true
  owners      = ["099720109477"]
  filter {
    name   = "name"
    values = ["ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"]
  }
  filter {
    name   = "virtualization-type"
    values = ["hvm"]
  }
}

data "aws_vpc" "default" {
  default = true
}

data "aws_subnets" "all" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.default.id]
  }
}

data "aws_subnet" "each" {
  for_each = toset(data.aws_subnets.all.ids)
  id       = each.value
}

locals {
  name  = "coder-${lower(data.coder_workspace.me.owner)}-${lower(data.coder_workspace.me.name)}"
  disks = range(tonumber(data.coder_parameter.disks.value))
  zones = sort(distinct([for subnet in data.aws_subnet.each : subnet.availability_zone]))
}

resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
  auth = "aws-instance-identity"
}

resource "coder_app" "editor" {
  agent_id = coder_agent.main.id
  slug     = "editor"
  url      = "http://localhost:13337"
  healthcheck {
    url       = "http://localhost:13337/healthz"
    interval  = 5
    threshold = 6
  }
}

resource "aws_security_group" "workspace" {
  name   = local.name
  vpc_id = data.aws_vpc.default.id
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = [cidrsubnet(data.aws_vpc.default.cidr_block, 8, 1), "0.0.0.0/0"]
  }
}

resource "aws_instance" "workspace" {
  ami                    = data.aws_ami.ubuntu.id
  instance_type          = "t3.large"
  availability_zone      = one(slice(local.zones, 0, 1))
  vpc_security_group_ids = [aws_security_group.workspace.id]
  user_data = templatefile("${path.module}/cloud-init.tftpl", {
    hostname    = local.name
    init_script = base64encode(coder_agent.main.init_script)
  })

  root_block_device {
    volume_size = data.aws_ami.ubuntu.root_device_name == "" ? 8 : 32
  }

  dynamic "ebs_block_device" {
    for_each = local.disks
    content {
      device_name = "/dev/sd${substr("fghi", ebs_block_device.value, 1)}"
      volume_size = 10 * (ebs_block_device.key + 1)
    }
  }

  tags = merge(var.tags, {
    Name    = local.name
    Account = data.aws_caller_identity.current.account_id
  })
  lifecycle {
    ignore_changes = [ami]
  }
}

resource "aws_ec2_instance_state" "workspace" {
  instance_id = aws_instance.workspace.id
  state       = data.coder_workspace.me.transition == "start" ? "running" : "stopped"
}

resource "coder_metadata" "workspace" {
  resource_id = aws_instance.workspace.id
  daily_cost  = 20
  item {
    key   = "image"
    value = data.aws_ami.ubuntu.name
  }
  item {
    key   = "type"
    value = aws_instance.workspace.instance_type
  }
}
