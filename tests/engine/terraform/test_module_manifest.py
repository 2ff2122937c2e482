"""The module manifest, which the engine writes instead of Terraform."""

import json
from pathlib import Path

import pytest

from provisioning.engine.base import EngineError
from provisioning.engine.hcl import read_module
from provisioning.engine.terraform.module_manifest import (
    fetched_modules,
    remote_calls,
    without_credentials,
    write_manifest,
)

from .recording import template


def manifest(directory: Path, data: Path) -> list[dict[str, str]]:
    write_manifest(read_module(directory), directory, data)
    return json.loads((data / "modules" / "modules.json").read_text())["Modules"]


def test_nested_local_modules_are_recorded(tmp_path: Path) -> None:
    root = template(
        tmp_path,
        {
            "main.tf": 'module "net" { source = "./modules//net/" }',
            "modules/net/main.tf": 'module "deep" { source = "../deep" }',
            "modules/deep/main.tf": 'output "x" { value = 1 }',
        },
    )
    assert manifest(root, tmp_path / "data") == [
        {"Key": "", "Source": "", "Dir": "."},
        {"Key": "net", "Source": "./modules/net", "Dir": "modules/net"},
        {"Key": "net.deep", "Source": "../deep", "Dir": "modules/deep"},
    ]


def test_without_modules_nothing_is_written(tmp_path: Path) -> None:
    root = template(tmp_path, 'output "x" { value = 1 }')
    write_manifest(read_module(root), root, tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("../outside", r"module m \(main.tf:1\) is outside the template: \.\./outside"),
        ("./missing", r"module m \(main.tf:1\): the template has no folder missing"),
    ],
)
def test_an_unavailable_local_module_is_an_error(tmp_path: Path, source: str, text: str) -> None:
    (tmp_path / "outside").mkdir()
    root = template(tmp_path, f'module "m" {{ source = "{source}" }}')
    with pytest.raises(EngineError, match=text):
        write_manifest(read_module(root), root, tmp_path / "data")


def test_a_module_source_that_is_not_a_literal_string_is_rejected(tmp_path: Path) -> None:
    root = template(tmp_path, 'module "vpc" { source = var.where }')
    with pytest.raises(EngineError, match=r"^module vpc \(main\.tf:1\) has no source"):
        remote_calls(read_module(root))


def test_stubs_are_recorded_with_the_source_and_version_that_terraform_expects(tmp_path: Path) -> None:
    root = template(
        tmp_path,
        {
            "main.tf": """
                module "near" { source = "./near" }
                module "vpc" {
                  source  = "terraform-aws-modules/vpc/aws//modules/a"
                  version = "~> 5.1, != 5.1.0"
                  name    = "x"
                }
                output "id" { value = module.vpc.subnets[1].id }
            """,
            "near/main.tf": 'module "deep" { source = "github.com/acme/deep?ref=v1" }',
        },
    )
    data = tmp_path / "data"
    write_manifest(read_module(root), root, data, ["vpc", "near.deep"])
    (_, near, deep, vpc) = json.loads((data / "modules/modules.json").read_text())["Modules"]
    assert near == {"Key": "near", "Source": "./near", "Dir": "near"}
    assert deep == {"Key": "near.deep", "Source": "git::https://github.com/acme/deep.git?ref=v1", "Dir": deep["Dir"]}
    assert vpc["Source"] == "registry.terraform.io/terraform-aws-modules/vpc/aws//modules/a"
    assert vpc["Version"] == "5.1.1"
    stub = json.loads((Path(vpc["Dir"]) / "main.tf.json").read_text())
    assert stub["variable"] == {"name": {"default": None}}
    assert stub["output"]["subnets"]["value"] == [
        {"id": "c3R1Yg=="},
        {"id": "c3R1YjE="},
    ]
    assert fetched_modules(root, data) == {}


def test_a_version_constraint_without_a_match_is_an_error(tmp_path: Path) -> None:
    root = template(tmp_path, 'module "vpc" {\n  source  = "a/b/c"\n  version = "> 2, < 1"\n}')
    with pytest.raises(EngineError, match=r"^module vpc \(main\.tf:1\): no version matches '> 2, < 1'$"):
        write_manifest(read_module(root), root, tmp_path / "data", ["vpc"])


def test_credentials_are_removed_from_sources() -> None:
    assert without_credentials('"git::https://me:secret@host/a.git"') == '"git::https://host/a.git"'
    assert without_credentials("git@github.com:a/b.git") == "git@github.com:a/b.git"
