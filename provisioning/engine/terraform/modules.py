"""The module manifest, which ``terraform get`` would write: local modules need nothing else."""

import json
import posixpath
from pathlib import Path

from provisioning.engine.base import EngineError
from provisioning.engine.hcl import Module, ModuleCall


class RemoteModuleError(EngineError):
    """A module would have to be fetched from elsewhere, which is not allowed here."""

    def __init__(self, call: ModuleCall) -> None:
        super().__init__(
            f"module {call.key} ({call.location}) comes from {call.source or 'an unknown source'}: "
            "modules from outside of the template are not fetched here, add its files to the template"
        )


def remote_calls(module: Module) -> tuple[ModuleCall, ...]:
    """The calls of modules that are no folder of the template."""
    return tuple(call for call in module.module_calls if not call.is_local)


def write_manifest(module: Module, directory: Path, data: Path) -> None:
    """Write ``modules/modules.json`` below Terraform's data folder ``data``; does nothing without local modules.

    Raises EngineError for a local module that is missing or not within the template.
    """
    local = [call for call in module.module_calls if call.is_local]
    if not local:
        return
    records = [{"Key": "", "Source": "", "Dir": "."}]
    for call in local:
        folder = posixpath.normpath(posixpath.join(posixpath.dirname(call.location.file), call.source))
        if folder.split("/", 1)[0] == "..":
            raise EngineError(f"module {call.key} ({call.location}) lies outside of the template: {call.source}")
        if not (directory / folder).is_dir():
            raise EngineError(f"module {call.key} ({call.location}): the template has no folder {folder}")
        records.append({"Key": call.key, "Source": _normalized(call.source), "Dir": folder})
    (data / "modules").mkdir(mode=0o700, parents=True, exist_ok=True)
    (data / "modules" / "modules.json").write_text(json.dumps({"Modules": records}))


def _normalized(source: str) -> str:
    """A local source as Terraform writes it: ``./a//b/`` → ``./a/b``."""
    path = posixpath.normpath(source)
    return path if path.split("/", 1)[0] == ".." else f"./{path}"
