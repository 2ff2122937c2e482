"""Installing providers: what is tried, which failures are cached, and their reasons."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from provisioning.engine.base import EngineError, LogLevel, Stage
from provisioning.engine.sandbox import SandboxKind
from provisioning.engine.terraform import EngineSettings, find
from provisioning.engine.terraform.job_runtime import JobRuntime
from provisioning.engine.terraform.provider_installer import FAILURE_CACHE_SECONDS, ProviderInstaller

from .recording import Recorder, scripted_terraform, template

DOCKER = "registry.terraform.io/kreuzwerker/docker"
AWS = "registry.terraform.io/hashicorp/aws"
CUSTOM = "registry.example.com/team/thing"

UNREACHABLE = """
Error: Failed to query available provider packages

Could not retrieve the list of available versions for provider
kreuzwerker/docker: could not connect to registry.terraform.io: failed to
request discovery document: dial tcp: no such host
"""
UNKNOWN = """
Error: Failed to query available provider packages

Could not retrieve the list of available versions for provider
kreuzwerker/docker: provider registry registry.terraform.io does not have a
provider named registry.terraform.io/kreuzwerker/docker
"""


class InstallerSetup:
    """A runtime whose Terraform records each ``init`` and fails with the text in the file ``errors``, if any."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = Recorder()
        self.now = 0.0
        self.binary = scripted_terraform(
            directory,
            f'init) echo "$@" >> {directory}/calls; env > {directory}/environment; cp $TF_CLI_CONFIG_FILE '
            f"{directory}/rc; echo Initializing; "
            f"if [ -e {directory}/errors ]; then cat {directory}/errors >&2; exit 1; fi ;;",
        )

    def installer(self, **options: object) -> ProviderInstaller:
        self.settings = EngineSettings(binary=str(self.binary), sandbox="off", **options)  # type: ignore[arg-type]
        return ProviderInstaller(self.settings, clock=lambda: self.now)

    def install(self, installer: ProviderInstaller, *addresses: str) -> dict[str, str]:
        root = template(self.directory, "")
        terraform = find(str(self.binary))
        with JobRuntime(terraform, SandboxKind.OFF, self.settings, root, Event()) as runtime:
            return installer.install(runtime, addresses, self.log)

    @property
    def init_calls(self) -> int:
        path = self.directory / "calls"
        return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[InstallerSetup]:
    return InstallerSetup(tmp_path)


def test_providers_are_installed_with_one_init(setup: InstallerSetup) -> None:
    assert setup.install(setup.installer(), DOCKER, AWS) == {}
    assert (setup.directory / "calls").read_text() == "init -no-color -input=false -get=false -backend=false\n"
    assert ("debug", Stage.INSTALLING, "Initializing") in setup.log.lines


def test_an_unreachable_registry_is_not_tried_again_for_a_while(setup: InstallerSetup) -> None:
    (setup.directory / "errors").write_text(UNREACHABLE)
    installer = setup.installer()
    reason = "the registry registry.terraform.io cannot be reached"
    assert setup.install(installer, DOCKER) == {DOCKER: reason}
    assert setup.install(installer, AWS) == {AWS: reason}
    assert setup.init_calls == 1
    setup.now = FAILURE_CACHE_SECONDS + 1
    (setup.directory / "errors").unlink()
    assert setup.install(installer, AWS) == {}
    assert setup.init_calls == 2


def test_an_unknown_provider_does_not_prevent_installing_the_others(setup: InstallerSetup) -> None:
    errors = setup.directory / "errors"
    errors.write_text(UNKNOWN)
    # The second init, without the unknown provider, succeeds.
    setup.binary.write_text(setup.binary.read_text().replace("exit 1", f"rm {errors}; exit 1"))
    failed = setup.install(setup.installer(), DOCKER, AWS)
    assert list(failed) == [DOCKER]
    assert "does not have a provider named registry.terraform.io/kreuzwerker/docker" in failed[DOCKER]
    assert setup.init_calls == 2
    environment = (setup.directory / "environment").read_text()
    assert DOCKER in environment
    assert AWS not in environment


@pytest.mark.parametrize(
    ("options", "address", "reason"),
    [
        ({}, CUSTOM, "the registry registry.example.com is not allowed on this daemon"),
        ({"network": False}, DOCKER, "installing providers is disabled on this daemon"),
    ],
)
def test_a_provider_that_must_not_be_installed_is_not_tried(
    setup: InstallerSetup, options: dict[str, object], address: str, reason: str
) -> None:
    assert setup.install(setup.installer(**options), address) == {address: reason}
    assert setup.init_calls == 0


def test_the_operators_configuration_overrides_the_settings(setup: InstallerSetup) -> None:
    config = setup.directory / "operator.rc"
    config.write_text("# the operator's\n")
    assert setup.install(setup.installer(network=False, cli_config=config), CUSTOM) == {}
    assert (setup.directory / "rc").read_text() == "# the operator's\n"


@pytest.mark.parametrize(("network", "text"), [(True, "plugin_cache_dir = "), (False, "filesystem_mirror")])
def test_the_cache_is_a_mirror_without_network_access(setup: InstallerSetup, network: bool, text: str) -> None:
    cache = setup.directory / "cache"
    assert setup.install(setup.installer(network=network, plugin_cache=cache), DOCKER) == {}
    config = (setup.directory / "rc").read_text()
    assert text in config
    assert str(cache) in config


def test_installing_has_a_time_limit(setup: InstallerSetup) -> None:
    setup.binary.write_text(setup.binary.read_text().replace("echo Initializing", "sleep 60"))
    failed = setup.install(setup.installer(install_seconds=0.3), DOCKER)
    assert failed == {DOCKER: "it took longer than 0.3 seconds"}


def test_secrets_are_not_passed_to_init(setup: InstallerSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    setup.install(setup.installer(extra_environment=("AWS_SECRET_ACCESS_KEY",)), DOCKER)
    assert "hunter2" not in (setup.directory / "environment").read_text()


def test_an_error_in_the_template_is_not_blamed_on_a_provider(setup: InstallerSetup) -> None:
    (setup.directory / "errors").write_text("\nError: Unsupported argument\n\n  on main.tf line 1:\n")
    with pytest.raises(EngineError, match="Unsupported argument"):
        setup.install(setup.installer(), DOCKER)


def test_a_crash_of_init_is_reported_as_the_reason(setup: InstallerSetup) -> None:
    setup.binary.write_text(setup.binary.read_text().replace("echo Initializing", "exit 7"))
    assert setup.install(setup.installer(), DOCKER) == {DOCKER: "exit status 7"}
    assert ("info", Stage.INSTALLING, f"Installing {DOCKER}") in setup.log.lines
    assert not setup.log.outputs(level=LogLevel.ERROR)
