"""The engines by the names that jobs call them.

They are heavy and run templates, so the daemon itself never imports them: a job's process makes them, and
``python -m provisioning.daemon.engines`` (settings on standard input) tells what this machine has. No Django.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from provisioning.engine import sandbox
from provisioning.engine.base import Engine, EngineError


@dataclass(frozen=True, slots=True)
class Equipment:
    """What Terraform jobs run with: ``engine`` is like ``terraform 1.11.4``, empty when there is none, and
    ``problem`` says why. ``sandbox`` is a ``SandboxKind``.
    """

    engine: str = ""
    sandbox: str = ""
    problem: str = ""


def make(provisioner: str, settings: dict[str, Any]) -> Engine:
    """The engine of that name, ready for a job. ``settings`` are those of the Terraform engine, as JSON
    types.

    Raises EngineError when there is no such engine or it does not work on this machine.
    """
    match provisioner:
        case "terraform":
            from provisioning.engine.terraform import EngineSettings, TerraformEngine, find

            decoded = msgspec.convert(settings, EngineSettings, dec_hook=_path)
            engine = TerraformEngine(decoded)
            find(decoded.binary)
            return engine
        case "echo":
            from provisioning.engine.echo import EchoEngine

            return EchoEngine()
    raise EngineError(f"this daemon has no provisioner {provisioner!r}")


def equipment(settings: dict[str, Any]) -> Equipment:
    """Look for Terraform and a sandbox."""
    from provisioning.engine.terraform import find

    kind = ""
    try:
        kind = sandbox.choose(settings.get("sandbox", "auto"))
        terraform = find(settings.get("binary"))
    except EngineError as error:
        return Equipment(sandbox=kind, problem=str(error))
    return Equipment(engine=f"{terraform.name} {terraform.version}", sandbox=kind)


def _path(wanted: type, value: object) -> object:
    if wanted is Path:
        return Path(str(value))
    raise NotImplementedError(wanted.__name__)  # msgspec's way to hear that a hook knows no such type


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(equipment(msgspec.json.decode(sys.stdin.buffer.read()))))
