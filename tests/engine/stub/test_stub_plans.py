"""Templates planned by the real Terraform with stubs for providers that are not installed."""

import json

import pytest

from provisioning.engine.base import WorkspaceContext
from provisioning.engine.provider.coder import CoderProvider
from provisioning.engine.provider.server import CODER_ADDRESSES
from provisioning.engine.provider_usage import BlockUsage, ProviderUsage
from provisioning.engine.stub import StubProvider
from provisioning.engine.stub.placeholders import PLACEHOLDER, placeholder
from tests.engine.provider.terraform import attached, data_sources, planned_resources, write_template

AWS = "registry.terraform.io/hashicorp/aws"
DOCKER = "registry.terraform.io/kreuzwerker/docker"

AWS_TEMPLATE = """
terraform {
  required_providers {
    coder = { source = "coder/coder" }
    aws   = { source = "hashicorp/aws", version = "~> 5.0" }
  }
}
provider "aws" {
  region = "eu-west-1"
  default_tags {
    tags = { owner = "coder" }
  }
}
data "coder_workspace" "me" {}
data "aws_ami" "ubuntu" {
  most_recent = true
  filter {
    name   = "name"
    values = ["ubuntu/*"]
  }
}
data "aws_availability_zones" "all" {}
data "aws_eks_cluster" "c" {
  name = "c"
}
locals {
  ca   = base64decode(data.aws_eks_cluster.c.certificate_authority[0].data)
  user = jsonencode({ id = data.aws_ami.ubuntu.id })
  disks = { a = 1, b = 2 }
}
resource "coder_agent" "main" {
  os   = "linux"
  arch = "amd64"
  auth = "aws-instance-identity"
}
resource "aws_instance" "dev" {
  ami               = data.aws_ami.ubuntu.id
  availability_zone = data.aws_availability_zones.all.names[0]
  instance_type     = "t3.micro"
  user_data         = "${local.ca} ${coder_agent.main.token}"
  tags = {
    Name  = "coder-${data.coder_workspace.me.name}"
    state = data.coder_workspace.me.transition
  }
  root_block_device {
    volume_size = 10
  }
  dynamic "ebs_block_device" {
    for_each = local.disks
    content {
      device_name = ebs_block_device.key
      volume_size = ebs_block_device.value
    }
  }
  dynamic "network_interface" {
    for_each = aws_vpc.net.zones
    content {
      device_index = 0
    }
  }
  lifecycle {
    ignore_changes = [ami]
  }
}
resource "aws_vpc" "net" {
  cidr = "10.0.0.0/8"
}
resource "aws_ebs_volume" "home" {
  count             = data.coder_workspace.me.start_count
  availability_zone = aws_instance.dev.availability_zone
  size              = 1 + aws_instance.dev.root_block_device[0].volume_size
  snapshot          = "snap-${aws_instance.dev.root_block_device[0].volume_id}"
}
output "address" {
  value = "http://${aws_instance.dev.network[0].address}"
}
"""
AWS_USAGE = ProviderUsage(
    AWS,
    configuration=BlockUsage({"region"}, {"default_tags": BlockUsage({"tags"})}),
    resources={
        "aws_instance": BlockUsage(
            {
                "ami",
                "availability_zone",
                "instance_type",
                "user_data",
                "tags",
                "network",
                "root_block_device",
                "lifecycle",
                "Bad-Name",
            },
            {
                "root_block_device": BlockUsage({"volume_size", "volume_id"}),
                "ebs_block_device": BlockUsage({"device_name", "volume_size"}),
                "network_interface": BlockUsage({"device_index"}),
                "lifecycle": BlockUsage({"ignore_changes"}),
            },
        ),
        "aws_vpc": BlockUsage({"cidr", "zones"}),
        "aws_ebs_volume": BlockUsage({"availability_zone", "size", "snapshot"}),
    },
    data_sources={
        "aws_ami": BlockUsage({"id", "most_recent"}, {"filter": BlockUsage({"name", "values"}, is_repeated=True)}),
        "aws_availability_zones": BlockUsage({"names"}, hints={"names": {"[]": {}}}),
        "aws_eks_cluster": BlockUsage(
            {"name", "certificate_authority"}, hints={"certificate_authority": {"[]": {"data": {}}}}
        ),
    },
)

DOCKER_TEMPLATE = """
terraform {
  required_providers {
    docker = { source = "kreuzwerker/docker" }
  }
}
provider "docker" {}
data "docker_registry_image" "ubuntu" {
  name = "ubuntu"
}
resource "docker_volume" "home" {
  name = "home"
  lifecycle {
    ignore_changes = all
  }
}
resource "docker_image" "main" {
  name          = data.docker_registry_image.ubuntu.sha256_digest
  pull_triggers = [data.docker_registry_image.ubuntu.sha256_digest]
  build {
    context = "./build"
    build_args = { USER = "coder" }
  }
}
resource "docker_container" "workspace" {
  for_each = toset(["a", "b"])
  image    = docker_image.main.image_id
  name     = each.key
  env      = ["X=1", "Y=${docker_volume.home.mountpoint}"]
  host {
    host = "host.docker.internal"
    ip   = "host-gateway"
  }
  volumes {
    container_path = "/home"
    volume_name    = docker_volume.home.name
    read_only      = false
  }
  volumes {
    container_path = "/tmp"
  }
}
"""
DOCKER_USAGE = ProviderUsage(
    DOCKER,
    resources={
        "docker_volume": BlockUsage({"name", "mountpoint"}),
        "docker_image": BlockUsage(
            {"name", "pull_triggers", "image_id"}, {"build": BlockUsage({"context", "build_args"})}
        ),
        "docker_container": BlockUsage(
            {"image", "name", "env"},
            {
                "host": BlockUsage({"host", "ip"}),
                "volumes": BlockUsage({"container_path", "volume_name", "read_only"}),
            },
        ),
    },
    data_sources={"docker_registry_image": BlockUsage({"name", "sha256_digest"})},
)


@pytest.mark.terraform
def test_an_aws_template_is_planned(tmp_path):
    providers = {address: CoderProvider(WorkspaceContext()) for address in CODER_ADDRESSES}
    providers[AWS] = StubProvider(AWS_USAGE)

    with attached(write_template(tmp_path, AWS_TEMPLATE), providers) as terraform:
        shown = terraform.planned()

    resources = planned_resources(shown)
    instance = resources["aws_instance.dev"]
    assert instance["ami"] == "stub-aws_ami"
    assert instance["availability_zone"] == PLACEHOLDER
    assert instance["instance_type"] == "t3.micro"
    assert instance["tags"] == {"Name": "coder-default", "state": "start"}
    assert instance["root_block_device"] == [{"volume_size": 10}]
    assert instance["ebs_block_device"] == [
        {"device_name": "a", "volume_size": 1},
        {"device_name": "b", "volume_size": 2},
    ]
    assert resources["aws_ebs_volume.home[0]"]["size"] == 11
    unknown = {change["address"]: change["change"]["after_unknown"] for change in shown["resource_changes"]}
    assert unknown["aws_instance.dev"]["id"] is True
    assert unknown["aws_instance.dev"]["network"] is True
    assert unknown["aws_instance.dev"]["network_interface"] is True
    assert unknown["aws_instance.dev"]["root_block_device"][0]["volume_id"] is True
    assert unknown["aws_ebs_volume.home[0]"]["snapshot"] is True
    assert data_sources(shown)["data.aws_ami.ubuntu"]["filter"] == [{"name": "name", "values": ["ubuntu/*"]}]


@pytest.mark.terraform
def test_a_docker_template_is_planned_but_not_applied(tmp_path):
    with attached(write_template(tmp_path, DOCKER_TEMPLATE), {DOCKER: StubProvider(DOCKER_USAGE)}) as terraform:
        shown = terraform.planned()
        applied = terraform.run("apply", "-json", "-auto-approve", "tfplan")
        left = terraform.show()

    resources = planned_resources(shown)
    assert resources["docker_image.main"]["name"] == PLACEHOLDER
    volumes = resources['docker_container.workspace["a"]']["volumes"]
    assert [volume["container_path"] for volume in volumes] == ["/home", "/tmp"]
    assert volumes[0]["volume_name"] == "home"
    assert applied.code == 1
    assert "Unverified template" in applied.errors[0]
    assert f"The provider {DOCKER} of docker_volume could not be installed" in applied.output
    assert "An unverified template is never applied." in applied.errors[0]
    assert {resource["mode"] for resource in left["values"]["root_module"]["resources"]} == {"data"}


@pytest.mark.terraform
def test_existing_resources_are_not_destroyed(tmp_path):
    name = {"value": "home", "type": "string"}
    volume = {
        "mode": "managed",
        "type": "docker_volume",
        "name": "home",
        "provider": f'provider["{DOCKER}"]',
        "instances": [{"schema_version": 0, "attributes": {"id": "v", "name": name, "mountpoint": name}}],
    }
    state = {
        "version": 4,
        "terraform_version": "1.11.4",
        "serial": 1,
        "lineage": "x",
        "outputs": {},
        "resources": [volume],
    }
    write_template(tmp_path, DOCKER_TEMPLATE)
    (tmp_path / "terraform.tfstate").write_text(json.dumps(state))

    with attached(tmp_path, {DOCKER: StubProvider(DOCKER_USAGE)}) as terraform:
        destroyed = terraform.run("destroy", "-json", "-auto-approve")
        left = terraform.show()

    assert destroyed.code == 1
    assert "An unverified template is never applied." in destroyed.errors[0]
    assert left["values"]["root_module"]["resources"][0]["values"]["id"] == "v"


def test_placeholders_have_the_shape_of_their_hint():
    assert placeholder({}) == ("string", PLACEHOLDER)
    assert placeholder({"[]": {"ip": {}, "tags": {"name": {}}}}) == (
        ["tuple", [["object", {"ip": "string", "tags": ["object", {"name": "string"}]}]]],
        [{"ip": PLACEHOLDER, "tags": {"name": PLACEHOLDER}}],
    )


def test_the_schema_contains_what_the_template_uses():
    stub = StubProvider(AWS_USAGE)

    instance = stub.resources["aws_instance"]
    assert set(instance.attributes) == {
        "ami",
        "availability_zone",
        "id",
        "instance_type",
        "network",
        "tags",
        "user_data",
    }
    assert set(instance.blocks) == {"ebs_block_device", "network_interface", "root_block_device"}
    assert not stub.configuration.attributes["region"].computed
