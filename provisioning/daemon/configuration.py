"""The configuration of a daemon, from its command line and the settings. No Django here."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provisioning.protocol.leases import DEFAULT_TAGS, PROVISIONERS

# The variables of the daemon's environment that a runner inherits, needed to find programs and to connect to the
# internet. The database's address and other secrets are never among them.
JOB_ENVIRONMENT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)


@dataclass(frozen=True, slots=True)
class Configuration:
    """The configuration of a daemon; times are in seconds. ``engine`` are the Terraform engine's settings by name,
    ``job_kinds`` the dotted paths of ``protocol.kinds.load``, ``spool`` the folder of the states of running builds.
    """

    name: str
    tags: dict[str, str]
    provisioners: tuple[str, ...]
    concurrency: int
    lease_seconds: float
    job_seconds: float
    cancel_grace_seconds: float
    drain_seconds: float
    build_seconds: float = 3600.0
    apply_grace_seconds: float = 120.0
    engine: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    job_kinds: tuple[str, ...] = ()
    spool: Path | None = None


def from_settings(
    settings: Any,
    *,
    job_kinds: tuple[str, ...],
    name: str = "",
    tags: Mapping[str, str] | None = None,
    concurrency: int | None = None,
    drain_seconds: float | None = None,
) -> Configuration:
    """Return the configuration from the settings (Django's, or ``provisioning.daemon.settings``) and these options.

    Tags are added to the default tags: a daemon with its own tags runs only jobs that have such tags.
    """
    job_seconds = float(settings.PROVISIONER_JOB_SECONDS)
    return Configuration(
        name=name or socket.gethostname()[:64],
        tags=DEFAULT_TAGS | dict(tags or {}),
        provisioners=PROVISIONERS,
        concurrency=concurrency or settings.PROVISIONER_CONCURRENCY,
        lease_seconds=float(settings.PROVISIONER_LEASE_SECONDS),
        job_seconds=job_seconds,
        cancel_grace_seconds=float(settings.PROVISIONER_CANCEL_GRACE_SECONDS),
        drain_seconds=job_seconds if drain_seconds is None else drain_seconds,
        build_seconds=float(settings.PROVISIONER_BUILD_SECONDS),
        apply_grace_seconds=float(settings.PROVISIONER_APPLY_GRACE_SECONDS),
        engine=engine_settings(settings),
        environment=job_environment(os.environ, settings.PROVISIONER_ENVIRONMENT),
        job_kinds=job_kinds,
        spool=settings.DATA_DIR / "spool",
    )


def engine_settings(settings: Any) -> dict[str, Any]:
    """Return the settings of the Terraform engine by name, as JSON types."""
    return {
        "binary": settings.TERRAFORM_BINARY or None,
        # An interrupted Terraform is killed before its job.
        "limits": {
            "wall_seconds": float(settings.PROVISIONER_JOB_SECONDS),
            "grace_seconds": float(settings.PROVISIONER_CANCEL_GRACE_SECONDS) / 2,
            "build_seconds": float(settings.PROVISIONER_BUILD_SECONDS),
            "apply_grace_seconds": float(settings.PROVISIONER_APPLY_GRACE_SECONDS) * 0.9,
        },
        "sandbox": settings.PROVISIONER_SANDBOX,
        "extra_environment": list(settings.PROVISIONER_ENVIRONMENT),
        "provider_read_paths": [str(path) for path in settings.PROVISIONER_READ_PATHS],
        "provider_sockets": [str(path) for path in settings.PROVISIONER_SOCKETS],
        "plugin_cache": str(settings.DATA_DIR / "plugin-cache"),
        "stub_providers": settings.PROVISIONER_STUB_PROVIDERS,
        "network": settings.PROVISIONER_NETWORK,
        "plan_network": settings.PROVISIONER_PLAN_NETWORK,
        "plan_hosts": list(settings.PROVISIONER_PLAN_HOSTS),
        "remote_modules": settings.PROVISIONER_REMOTE_MODULES,
        "git_credentials": settings.PROVISIONER_GIT_CREDENTIALS or None,
        "registries": list(settings.PROVISIONER_REGISTRIES),
        "cli_config": settings.PROVISIONER_CLI_CONFIG or None,
        "install_seconds": float(settings.PROVISIONER_INSTALL_SECONDS),
        "registry_seconds": float(settings.PROVISIONER_REGISTRY_SECONDS),
        "registry_cache_seconds": float(settings.PROVISIONER_REGISTRY_CACHE_SECONDS),
    }


def job_environment(environment: Mapping[str, str], extra: list[str]) -> dict[str, str]:
    """Return the part of ``environment`` that a runner inherits."""
    allowed = {*JOB_ENVIRONMENT, *extra}
    found = {name: value for name, value in environment.items() if name in allowed}
    # grpcio's fork support, on by default, costs time and log lines; a runner never forks.
    return found | {"GRPC_ENABLE_FORK_SUPPORT": "false", "GRPC_VERBOSITY": "NONE"}
