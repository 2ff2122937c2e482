"""Addresses of providers, and which parts of them a template uses."""

from provisioning.engine.provider_usage import BlockUsage

from .conftest import Read

HASHICORP = "registry.terraform.io/hashicorp/"


def test_declared_and_implied_providers_have_full_addresses(read: Read) -> None:
    module = read(
        """
        terraform {
          required_providers {
            coder  = { source = "coder/coder" }
            docker = { source = "kreuzwerker/docker", version = "~> 3" }
            own    = { source = "registry.example.com/team/own" }
            old    = "~> 1.0"
          }
        }
        resource "google_project" "p" {}
        provider "aws" {}
        """
    )
    assert module.required_providers == {
        "coder": "registry.terraform.io/coder/coder",
        "docker": "registry.terraform.io/kreuzwerker/docker",
        "own": "registry.example.com/team/own",
        "old": HASHICORP + "old",
        "google": HASHICORP + "google",
        "aws": HASHICORP + "aws",
    }
    assert list(module.provider_usage) == sorted(
        address for name, address in module.required_providers.items() if name != "coder"
    )


def test_providers_that_need_no_installation_are_left_out(read: Read) -> None:
    module = read(
        """
        terraform {
          required_providers {
            mine = { source = "coder/coder" }
          }
        }
        resource "terraform_data" "a" {}
        resource "mine_agent" "a" {}
        data "coder_workspace" "me" {}
        """
    )
    assert module.provider_usage == {}


def test_usage_contains_what_resources_set_and_what_is_read(read: Read) -> None:
    module = read(
        """
        provider "aws" {
          alias  = "eu"
          region = "eu-1"
          assume_role { role_arn = "x" }
        }
        resource "aws_instance" "vm" {
          count    = 2
          provider = aws.eu
          ami      = data.aws_ami.image.id
          tags     = { a = 1 }
          lifecycle { ignore_changes = all }
          provisioner "local-exec" { command = "true" }
          network {
            subnet = "s"
            rule { port = 1 }
          }
          network { extra = 1 }
          dynamic "disk" {
            for_each = [1]
            content { size = disk.value }
          }
        }
        data "aws_ami" "image" { name = "x" }
        locals {
          ip    = aws_instance.vm[0].status[0].ip
          names = aws_instance.vm[*].network[0].name
          tag   = data.aws_ami.image.tags["Name"]
          deep  = "${aws_instance.vm["a"].status[0].port}"
        }
        """
    )
    usage = module.provider_usage[HASHICORP + "aws"]
    assert usage.configuration == BlockUsage({"region"}, {"assume_role": BlockUsage({"role_arn"})})
    assert usage.resources == {
        "aws_instance": BlockUsage(
            {"ami", "tags", "status"},
            {
                "network": BlockUsage({"subnet", "extra", "name"}, {"rule": BlockUsage({"port"})}, {"name": {}}),
                "disk": BlockUsage({"size"}),
            },
            {"status": {"[]": {"ip": {}, "port": {}}}},
        )
    }
    assert usage.data_sources == {
        "aws_ami": BlockUsage({"name", "id", "tags"}, {}, {"id": {}, "tags": {"Name": {}}}),
    }


def test_the_provider_argument_selects_the_provider(read: Read) -> None:
    module = read(
        'resource "google_sql" "a" {\n  provider = google-beta\n  x = 1\n}\nresource "google_sql" "b" { y = 1 }\n'
    )
    assert module.provider_usage[HASHICORP + "google-beta"].resources == {"google_sql": BlockUsage({"x"})}
    assert module.provider_usage[HASHICORP + "google"].resources == {"google_sql": BlockUsage({"y"})}


def test_usage_includes_local_modules_but_not_remote_ones(read: Read) -> None:
    module = read(
        {
            "main.tf": 'module "a" {\n  source = "./a"\n}\nmodule "b" {\n  source = "x/y/z"\n}\n',
            "a/main.tf": """
            terraform {
              required_providers {
                d = { source = "kreuzwerker/docker" }
              }
            }
            resource "d_container" "c" { image = "x" }
            """,
            "unused/main.tf": 'resource "aws_instance" "vm" {}\n',
        }
    )
    assert list(module.provider_usage) == ["registry.terraform.io/kreuzwerker/docker"]


def test_usage_is_read_from_json(read: Read) -> None:
    text = """{
      "terraform": {"required_providers": {"docker": {"source": "kreuzwerker/docker"}}},
      "resource": {"docker_container": {"c": [{
        "image": "${docker_image.i.name}", "count": 1, "dynamic": {"port": {"content": {"internal": 1}}}
      }]}, "docker_image": {"i": {"name": "x"}}},
      "output": {"ip": {"value": "${docker_container.c[0].network[0].ip}"}}
    }"""
    usage = read({"main.tf.json": text}).provider_usage["registry.terraform.io/kreuzwerker/docker"]
    assert usage.resources["docker_container"].attributes == {"image", "network"}
    assert usage.resources["docker_container"].blocks == {"port": BlockUsage({"internal"})}
    assert usage.resources["docker_container"].hints == {"network": {"[]": {"ip": {}}}}
