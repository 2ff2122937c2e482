"""The engines by their names in jobs.

Engines are large and run templates, so the daemon itself never imports them. Runners create them, and ``python -m
provisioning.daemon.engines`` (with the settings on standard input) detects what is installed. No Django.
"""

import sys
from dataclasses import dataclass
from typing import Any

import msgspec

from provisioning.daemon.messages import decode_path
from provisioning.engine import sandbox
from provisioning.engine.base import Engine, EngineError


@dataclass(frozen=True, slots=True)
class Equipment:
    """The engine and sandbox of Terraform jobs. ``engine`` is for example ``terraform 1.11.4``; when it is empty,
    ``problem`` is the reason. ``sandbox`` is a ``SandboxKind``. ``warnings`` name files of the settings that are
    missing or cannot be read.
    """

    engine: str = ""
    sandbox: str = ""
    problem: str = ""
    warnings: tuple[str, ...] = ()


def make(provisioner: str, settings: dict[str, Any]) -> Engine:
    """Create the engine with this name. ``settings`` are those of the Terraform engine, as JSON types.

    Raises EngineError when the engine is unknown or does not work on this machine.
    """
    match provisioner:
        case "terraform":
            from provisioning.engine.terraform import EngineSettings, TerraformEngine, find

            decoded = msgspec.convert(settings, EngineSettings, dec_hook=decode_path)
            engine = TerraformEngine(decoded)
            find(decoded.binary)
            return engine
        case "echo":
            from provisioning.engine.echo import EchoEngine

            return EchoEngine()
    raise EngineError(f"this daemon has no provisioner {provisioner!r}")


def equipment(settings: dict[str, Any]) -> Equipment:
    """Detect Terraform and a sandbox."""
    from provisioning.engine.terraform import find

    kind = ""
    try:
        kind = sandbox.choose(settings.get("sandbox", "auto"))
        terraform = find(settings.get("binary"))
    except EngineError as error:
        return Equipment(sandbox=kind, problem=str(error))
    return Equipment(engine=f"{terraform.name} {terraform.version}", sandbox=kind, warnings=warnings(settings))


def warnings(settings: dict[str, Any]) -> tuple[str, ...]:
    """Return what is wrong with the sources of providers and the files that the settings name."""
    from provisioning.engine.terraform import EngineSettings
    from provisioning.engine.terraform.provider_sources import problems

    return tuple(problems(msgspec.convert(settings, EngineSettings, dec_hook=decode_path)))


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(equipment(msgspec.json.decode(sys.stdin.buffer.read()))))
