"""The module manifest that we write in Terraform's place."""

import json
from pathlib import Path

import pytest

from provisioning.engine.base import EngineError
from provisioning.engine.hcl import read_module
from provisioning.engine.terraform.modules import RemoteModuleError, remote_calls, write_manifest

from .recording import template


def manifest(directory: Path, data: Path) -> list[dict[str, str]]:
    write_manifest(read_module(directory), directory, data)
    return json.loads((data / "modules" / "modules.json").read_text())["Modules"]


def test_nested_local_modules(tmp_path: Path) -> None:
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
        ("../outside", r"module m \(main.tf:1\) lies outside of the template: \.\./outside"),
        ("./missing", r"module m \(main.tf:1\): the template has no folder missing"),
    ],
)
def test_a_local_module_that_cannot_be_had(tmp_path: Path, source: str, text: str) -> None:
    (tmp_path / "outside").mkdir()
    root = template(tmp_path, f'module "m" {{ source = "{source}" }}')
    with pytest.raises(EngineError, match=text):
        write_manifest(read_module(root), root, tmp_path / "data")


def test_remote_modules_are_named(tmp_path: Path) -> None:
    root = template(tmp_path, 'module "vpc" { source = "terraform-aws-modules/vpc/aws" }')
    (call,) = remote_calls(read_module(root))
    assert "module vpc (main.tf:1) comes from terraform-aws-modules/vpc/aws" in str(RemoteModuleError(call))
