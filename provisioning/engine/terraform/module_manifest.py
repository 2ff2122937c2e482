"""Write the module manifest that ``terraform get`` would write, with local modules and stubs for unavailable ones."""

import json
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

from provisioning.engine.base import EngineError
from provisioning.engine.hcl import Module, ModuleCall
from provisioning.engine.stub import stub_module
from provisioning.engine.terraform.module_sources import is_registry_address, matching_version, normalized_source

_USER = re.compile(r"(?<=://)[^/@\s]*@")
# Sources that are folders of the host: ``/etc``, ``file:///etc``, ``git::file:///srv/a.git``, ``C:\``.
_HOST_PATH = re.compile(r"(?:\w+::)*(?:/|~|\\|file:|[A-Za-z]:[/\\])", re.IGNORECASE)


def remote_calls(module: Module) -> tuple[ModuleCall, ...]:
    """Return the calls of modules that are not folders of the template.

    Raises EngineError for a source that is not a literal string, or that is a folder of the host.
    """
    calls = tuple(call for call in module.module_calls if not call.is_local)
    for call in calls:
        if not call.source:
            raise EngineError(
                f"module {call.key} ({call.location}) has no source, or its source is not a literal string"
            )
        if _HOST_PATH.match(call.source):
            raise EngineError(f"module {call.key} ({call.location}) is outside the template: {call.source}")
    return calls


def without_credentials(text: str) -> str:
    """Return ``text`` without the user and password in URLs."""
    return _USER.sub("", text)


def write_manifest(
    module: Module, directory: Path, data: Path, stubbed: Iterable[str] = (), registry: str = "registry.terraform.io"
) -> None:
    """Add the modules to ``modules/modules.json`` below Terraform's data folder ``data``.

    ``stubbed`` are the keys of calls that are replaced by stubs, which are written too. ``registry`` is the host of
    sources without one. Does nothing if there is nothing to record. Raises EngineError for a local module that is
    missing or outside the template, and for a constraint that no version can match.
    """
    keys = set(stubbed)
    path = data / "modules" / "modules.json"
    recorded = _recorded(path)
    done = {record["Key"] for record in recorded}
    records = [_local_record(call, directory) for call in module.module_calls if call.is_local and call.key not in done]
    stubs = [call for call in module.module_calls if call.key in keys]
    for number, call in enumerate(stubs):
        folder = data / "stubs" / str(number)
        record = {"Key": call.key, "Source": normalized_source(call.source, registry), "Dir": str(folder)}
        if is_registry_address(call.source):
            record["Version"] = _version(call)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "main.tf.json").write_text(json.dumps(stub_module(call)))
        records.append(record)
    if not records:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    merged = {record["Key"]: record for record in [_ROOT, *recorded, *records]}
    path.write_text(json.dumps({"Modules": list(merged.values())}))


def record_modules(data: Path, records: list[dict[str, str]]) -> None:
    """Start the manifest with modules that are already in the data folder."""
    path = data / "modules" / "modules.json"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(json.dumps({"Modules": [_ROOT, *records]}))


_ROOT = {"Key": "", "Source": "", "Dir": "."}


def fetched_modules(directory: Path, data: Path) -> dict[str, Path]:
    """Return the folders of the fetched modules by module key."""
    found = {}
    for record in _recorded(data / "modules" / "modules.json"):
        folder = (directory / record["Dir"]).resolve()
        if folder.is_relative_to(data / "modules"):
            found[record["Key"]] = folder
    return found


def _recorded(path: Path) -> list[dict[str, str]]:
    try:
        records = json.loads(path.read_text())["Modules"]
    except FileNotFoundError:
        return []
    return [record for record in records if record.get("Key")]


def _local_record(call: ModuleCall, directory: Path) -> dict[str, str]:
    folder = posixpath.normpath(posixpath.join(posixpath.dirname(call.location.file), call.source))
    if folder.split("/", 1)[0] == "..":
        raise EngineError(f"module {call.key} ({call.location}) is outside the template: {call.source}")
    if not (directory / folder).is_dir():
        raise EngineError(f"module {call.key} ({call.location}): the template has no folder {folder}")
    return {"Key": call.key, "Source": _normalized(call.source), "Dir": folder}


def _normalized(source: str) -> str:
    """Return a local source as Terraform writes it: ``./a//b/`` → ``./a/b``."""
    path = posixpath.normpath(source)
    return path if path.split("/", 1)[0] == ".." else f"./{path}"


def _version(call: ModuleCall) -> str:
    version = matching_version(call.version) if call.version else "1.0.0"
    if not version:
        raise EngineError(f"module {call.key} ({call.location}): no version matches {call.version!r}")
    return version
