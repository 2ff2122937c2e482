"""Installing providers with a scripted Terraform: limits, secrets, and what is not tried at all."""

from pathlib import Path
from threading import Event

import pytest

from provisioning.engine.base import EngineError, LogLevel, Stage
from provisioning.engine.provider_usage import ProviderUsage
from provisioning.engine.sandbox import SandboxKind
from provisioning.engine.terraform import EngineSettings, find
from provisioning.engine.terraform.job_runtime import JobRuntime
from provisioning.engine.terraform.provider_installer import Installed, ProviderInstaller

from .recording import Recorder, scripted_terraform, template

CUSTOM = "127.0.0.1:9/team/thing"  # nothing listens on this port
REGISTRY = "registry.example.com"
THING = f"{REGISTRY}/team/thing"


class InstallerSetup:
    """A runtime whose Terraform runs the shell commands of ``init``, with a network mirror that is a data URL."""

    def __init__(self, directory: Path, init: str) -> None:
        self.directory = directory
        self.log = Recorder()
        self.binary = scripted_terraform(
            directory, f"init) env > {directory}/environment; cp $TF_CLI_CONFIG_FILE {directory}/rc; {init} ;;"
        )

    def install(self, *addresses: str, **options: object) -> Installed:
        found: dict[str, object] = {"binary": str(self.binary), "sandbox": "off"}
        settings = EngineSettings(**(found | options))  # type: ignore[arg-type]
        usage = {address: ProviderUsage(address) for address in addresses}
        root = template(self.directory, "")
        with JobRuntime(find(str(self.binary)), SandboxKind.OFF, settings, root, Event()) as runtime:
            return ProviderInstaller(settings).install(runtime, usage, self.log)

    def install_from_mirror(self, **options: object) -> Installed:
        config = self.directory / "operator.rc"
        config.write_text(
            f'provider_installation {{\n  filesystem_mirror {{\n    path = "{self.directory}"\n  }}\n}}\n'
        )
        return self.install(THING, cli_config=config, **options)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, f"the registry {REGISTRY} is not allowed on this daemon"),
        ({"network": False}, "installing providers is disabled on this daemon"),
    ],
)
def test_a_provider_that_must_not_be_installed_is_not_tried(
    tmp_path: Path, options: dict[str, object], reason: str
) -> None:
    setup = InstallerSetup(tmp_path, "exit 1")
    assert setup.install(THING, **options).failed == {THING: reason}
    assert not (tmp_path / "rc").exists()


def test_an_unreachable_registry_is_not_tried(tmp_path: Path) -> None:
    setup = InstallerSetup(tmp_path, "exit 1")
    failed = setup.install(CUSTOM, registries=("127.0.0.1:9",), plugin_cache=tmp_path / "cache").failed
    assert failed == {CUSTOM: "the registry 127.0.0.1:9 cannot be reached: Connection refused"}
    assert not (tmp_path / "rc").exists()


def test_installing_has_a_time_limit(tmp_path: Path) -> None:
    setup = InstallerSetup(tmp_path, "sleep 60")
    failed = setup.install_from_mirror(install_seconds=0.3).failed
    assert failed == {THING: "installing took longer than 0.3 seconds"}


def test_secrets_are_not_passed_to_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    setup = InstallerSetup(tmp_path, "exit 1")
    with pytest.raises(EngineError):
        setup.install_from_mirror(extra_environment=("AWS_SECRET_ACCESS_KEY",))
    assert "hunter2" not in (tmp_path / "environment").read_text()


def test_a_crash_of_init_fails_the_import(tmp_path: Path) -> None:
    setup = InstallerSetup(tmp_path, "exit 7")
    with pytest.raises(EngineError, match=f"provider {THING} could not be installed: exit status 7"):
        setup.install_from_mirror()


def test_every_diagnostic_of_init_is_in_the_log(tmp_path: Path) -> None:
    errors = "Warning: Old mirror\\n\\nRenew it.\\n\\nError: First\\n\\nOne.\\n\\nError: Second\\n\\nTwo.\\n"
    setup = InstallerSetup(tmp_path, f"printf '{errors}' >&2; exit 1")
    with pytest.raises(EngineError, match=r"could not be installed: First: One\."):
        setup.install_from_mirror()
    assert setup.log.outputs(Stage.INSTALLING, LogLevel.WARN) == ["Warning: Old mirror", "Renew it."]
    assert setup.log.outputs(Stage.INSTALLING, LogLevel.ERROR) == ["Error: First", "One.", "Error: Second", "Two."]


def test_a_tls_error_is_not_cut_before_its_cause(tmp_path: Path) -> None:
    cause = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    url = f"https://{REGISTRY}/" + "x" * 600
    error = f"Error: Failed to query\\n\\nCould not retrieve: could not connect to {REGISTRY}: Get {url}: {cause}\\n"
    failed = InstallerSetup(tmp_path, f"printf '{error}' >&2; exit 1").install_from_mirror().failed
    assert failed[THING].endswith(cause)


@pytest.mark.parametrize("address", ["../../etc/passwd", "host/../x", "host/a/b c"])
def test_an_address_that_is_no_provider_is_rejected(tmp_path: Path, address: str) -> None:
    with pytest.raises(EngineError, match="is not the source of a provider"):
        InstallerSetup(tmp_path, "exit 0").install(address)
