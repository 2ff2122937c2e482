"""The input of a Terraform command."""

from pathlib import Path

import pytest

from provisioning.engine.base import EngineError, ParameterSchema, ParameterValue
from provisioning.engine.terraform.environment import (
    child_environment,
    environment_parameters,
    variable_values,
    write_private,
)


def test_the_daemons_environment_is_not_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DATABASE_URL", "SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "TF_CLI_ARGS", "LD_PRELOAD", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("LANG", "C.UTF-8")
    found = child_environment(
        home=tmp_path, cli_config=tmp_path / "rc", network=False, extra=("AWS_SECRET_ACCESS_KEY",)
    )
    assert set(found) - {"SSL_CERT_FILE", "SSL_CERT_DIR", "LC_ALL", "TZ"} == {
        "PATH",
        "LANG",
        "AWS_SECRET_ACCESS_KEY",
        "HOME",
        "TMPDIR",
        "TF_CLI_CONFIG_FILE",
        "TF_DATA_DIR",
        "TF_IN_AUTOMATION",
        "TF_INPUT",
        "CHECKPOINT_DISABLE",
        "GOGC",
    }
    assert found["HOME"] == str(tmp_path)


def test_proxies_are_passed_on_if_the_network_is_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    found = child_environment(home=tmp_path, cli_config=tmp_path / "rc", network=True)
    assert found["HTTPS_PROXY"] == "http://proxy:3128"


def environment_value(name: str, value: str = "x") -> ParameterValue:
    return ParameterValue(name, value, destination="environment_variable")


def test_environment_parameters_are_selected_by_destination() -> None:
    values = (environment_value("TF_VAR_a", "1"), environment_value("REGION", "eu"), ParameterValue("b", "2"))
    assert environment_parameters(values) == {"TF_VAR_a": "1", "REGION": "eu"}


@pytest.mark.parametrize(
    "name",
    [
        "LD_PRELOAD",
        "DYLD_INSERT_LIBRARIES",
        "TF_CLI_ARGS_plan",
        "TF_REATTACH_PROVIDERS",
        "GODEBUG",
        "PATH",
        "HOME",
        "a b",
        "a=b",
        "",
    ],
)
def test_names_that_change_how_terraform_runs_are_rejected(name: str) -> None:
    with pytest.raises(EngineError, match="cannot be an environment variable"):
        environment_parameters([environment_value(name)])


@pytest.mark.parametrize("name", ["PATHS", "HOMEPAGE", "GODEBUGGER", "TFOO"])
def test_similar_names_are_accepted(name: str) -> None:
    assert environment_parameters([environment_value(name)]) == {name: "x"}


def test_a_value_that_is_too_long_is_rejected() -> None:
    with pytest.raises(EngineError, match="too long"):
        environment_parameters([environment_value("A", "x" * 200_000)])


@pytest.mark.parametrize(
    ("type_", "value", "in_file", "in_environment"),
    [
        ("", "[1]", "[1]", None),
        ("string", "${not evaluated}", "${not evaluated}", None),
        ("number", "5", "5", None),
        ("bool", "true", "true", None),
        ("list(string)", '["${a}"]', ["${a}"], None),
        ("map(string)", '{"a": "b"}', {"a": "b"}, None),
        ("list(string)", '["a",]', ["a"], None),
        ("object({ a = number })", "{ a = 1 }", {"a": 1}, None),
        ("list(string)", "[var.x]", None, "[var.x]"),
    ],
)
def test_values_go_to_the_file_or_the_environment(
    type_: str, value: str, in_file: object, in_environment: str | None
) -> None:
    variables = [ParameterSchema(name="v", validation_value_type=type_)]
    file, environment = variable_values([ParameterValue("v", value)], variables)
    assert file == ({} if in_file is None else {"v": in_file})
    assert environment == ({} if in_environment is None else {"TF_VAR_v": in_environment})


def test_values_of_undeclared_variables_are_ignored() -> None:
    assert variable_values([ParameterValue("other", "1")], [ParameterSchema(name="v")]) == ({}, {})


def test_private_files_are_created_with_mode_600(tmp_path: Path) -> None:
    path = write_private(tmp_path / "f", "content")
    assert path.read_text() == "content"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        write_private(path, "again")
