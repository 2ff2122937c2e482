"""Normalized module sources, which the real Terraform must accept in the manifest, and matching versions."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from provisioning.engine.terraform.module_sources import is_registry_address, matching_version, normalized_source

SOURCES = {
    "acme/vpc/aws": "registry.terraform.io/acme/vpc/aws",
    "acme/iam/aws//modules/user": "registry.terraform.io/acme/iam/aws//modules/user",
    "App.example.io:8443/acme/net/aws": "app.example.io:8443/acme/net/aws",
    "github.com/acme/mods": "git::https://github.com/acme/mods.git",
    "github.com/acme/mods//vpc?ref=v1": "git::https://github.com/acme/mods.git//vpc?ref=v1",
    "github.com/acme/mods/vpc": "git::https://github.com/acme/mods.git//vpc",
    "bitbucket.org/acme/mods": "git::https://bitbucket.org/acme/mods.git",
    "git@github.com:acme/mods.git//a?ref=x": "git::ssh://git@github.com/acme/mods.git//a?ref=x",
    "git::git@example.com:a/b.git": "git::ssh://git@example.com/a/b.git",
    "git::github.com/a/b": "git::https://github.com/a/b.git",
    "git::https://example.com/a/b.git//sub/x?ref=1": "git::https://example.com/a/b.git//sub/x?ref=1",
    "git::ssh://git@example.com/a/b.git": "git::ssh://git@example.com/a/b.git",
    "hg::http://example.com/x": "hg::http://example.com/x",
    "http://127.0.0.1:1/x//": "http://127.0.0.1:1/x",
    "https://example.com/m.zip//x?archive=zip": "https://example.com/m.zip//x?archive=zip",
    "s3::https://s3-eu-west-1.amazonaws.com/b/m.zip": "s3::https://s3-eu-west-1.amazonaws.com/b/m.zip",
}


@pytest.mark.parametrize(("source", "normal"), SOURCES.items())
def test_sources_are_normalized(source: str, normal: str) -> None:
    assert normalized_source(source, "registry.terraform.io") == normal


@pytest.mark.terraform
@pytest.mark.skipif(shutil.which("terraform") is None, reason="there is no executable `terraform` on this machine")
def test_terraform_accepts_the_normalized_sources(tmp_path: Path) -> None:
    records = [{"Key": "", "Source": "", "Dir": "."}]
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub/main.tf").write_text("")
    calls = ""
    for number, source in enumerate(SOURCES):
        calls += f'module "m{number}" {{\n  source = "{source}"\n}}\n'
        record = {"Key": f"m{number}", "Source": normalized_source(source, "registry.terraform.io"), "Dir": "stub"}
        records.append(record | ({"Version": "1.0.0"} if is_registry_address(source) else {}))
    (tmp_path / "main.tf").write_text(calls)
    manifest = tmp_path / ".terraform/modules/modules.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"Modules": records}))
    answer = subprocess.run(
        [str(shutil.which("terraform")), "plan", "-no-color", "-input=false"],
        cwd=tmp_path,
        env={"CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": "/dev/null"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    ("constraint", "version"),
    [
        ("5.1.2", "5.1.2"),
        ("= 5.1", "5.1.0"),
        ("v1.2.3", "1.2.3"),
        ("~> 5.1", "5.1.0"),
        ("~> 5.1, != 5.1.0", "5.1.1"),
        ("> 1.2.3", "1.2.4"),
        (">= 1.2, < 2", "1.2.0"),
        ("< 1", "0.0.0"),
        ("!= 0.0.0", "1.0.0"),
        ("1.0.0-beta2", "1.0.0-beta2"),
        ("> 2, < 1", ""),
        ("newest", ""),
    ],
)
def test_a_matching_version_is_found(constraint: str, version: str) -> None:
    assert matching_version(constraint) == version
