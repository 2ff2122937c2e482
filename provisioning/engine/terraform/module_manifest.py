"""The module manifest, which ``terraform get`` would write: what is a folder of the template needs nothing else, and
what cannot be fetched is stood in for."""

import json
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

from provisioning.engine.base import EngineError
from provisioning.engine.hcl import Module, ModuleCall
from provisioning.engine.stub import stub_module
from provisioning.engine.terraform.module_sources import fitting_version, is_registry_address, normal_source

_USER = re.compile(r"(?<=://)[^/@\s]*@")
# Sources that are folders of the machine: ``/etc``, ``file:///etc``, ``git::file:///srv/a.git``, ``C:\``.
_OF_THE_MACHINE = re.compile(r"(?:\w+::)*(?:/|~|\\|file:|[A-Za-z]:[/\\])", re.IGNORECASE)


def remote_calls(module: Module) -> tuple[ModuleCall, ...]:
    """The calls of modules that are no folder of the template.

    Raises EngineError for a source that cannot be told without Terraform, or that is a folder of this machine.
    """
    calls = tuple(call for call in module.module_calls if not call.is_local)
    for call in calls:
        if not call.source:
            raise EngineError(f"module {call.key} ({call.location}) has no source, or one that is not plain text")
        if _OF_THE_MACHINE.match(call.source):
            raise EngineError(f"module {call.key} ({call.location}) lies outside of the template: {call.source}")
    return calls


def without_users(text: str) -> str:
    """``text`` with addresses that name no user and no password."""
    return _USER.sub("", text)


def write_manifest(
    module: Module, directory: Path, data: Path, stubbed: Iterable[str] = (), registry: str = "registry.terraform.io"
) -> None:
    """Write ``modules/modules.json`` below Terraform's data folder ``data``, over what is recorded there already.

    ``stubbed`` are the keys of calls that a stub is to answer for, which is written too. ``registry`` is the host of
    sources that name none. Does nothing when there is nothing to record. Raises EngineError for a local module that is
    missing or not within the template, and for a version that there cannot be.
    """
    keys = set(stubbed)
    path = data / "modules" / "modules.json"
    recorded = _recorded(path)
    done = {record["Key"] for record in recorded}
    records = [_local_record(call, directory) for call in module.module_calls if call.is_local and call.key not in done]
    stubs = [call for call in module.module_calls if call.key in keys]
    for number, call in enumerate(stubs):
        folder = data / "stubs" / str(number)
        record = {"Key": call.key, "Source": normal_source(call.source, registry), "Dir": str(folder)}
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


_ROOT = {"Key": "", "Source": "", "Dir": "."}


def fetched_modules(directory: Path, data: Path) -> dict[str, Path]:
    """The folders of the modules that were fetched, by the key of their call."""
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
        raise EngineError(f"module {call.key} ({call.location}) lies outside of the template: {call.source}")
    if not (directory / folder).is_dir():
        raise EngineError(f"module {call.key} ({call.location}): the template has no folder {folder}")
    return {"Key": call.key, "Source": _normalized(call.source), "Dir": folder}


def _normalized(source: str) -> str:
    """A local source as Terraform writes it: ``./a//b/`` → ``./a/b``."""
    path = posixpath.normpath(source)
    return path if path.split("/", 1)[0] == ".." else f"./{path}"


def _version(call: ModuleCall) -> str:
    version = fitting_version(call.version) if call.version else "1.0.0"
    if not version:
        raise EngineError(f"module {call.key} ({call.location}): there is no version {call.version!r}")
    return version
