"""Keep fetched modules by their content, so that a template's modules are not downloaded for each job."""

import base64
import json
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from provisioning.engine.hcl import ModuleCall
from provisioning.engine.terraform.lock_file import DIRECTORY_SCHEME
from provisioning.engine.terraform.module_sources import is_registry_address
from provisioning.engine.terraform.provider_store import ProviderStore, directory_hash

MAX_BYTES = 256 << 20  # of one module; larger ones are not kept
_KIND = "module"
# Sources whose content cannot change: a commit of git, an archive with its checksum.
_PINNED = re.compile(r"[?&](?:ref=[0-9a-f]{40}|checksum=[^&]+)(?:&|$)")
_EXACT_VERSION = re.compile(r"\s*=?\s*v?\d+\.\d+\.\d+\S*\s*")


class ModuleCache:
    """The modules in a store. ``seconds`` is how long a source that can change is not fetched again."""

    def __init__(self, store: ProviderStore, seconds: float) -> None:
        self._store = store
        self._seconds = seconds
        self._folder = store.root / "modules"
        self._folder.mkdir(exist_ok=True)

    def restore(self, call: ModuleCall, data: Path) -> dict[str, str] | None:
        """Copy the module of a call into Terraform's data folder. Returns its record for the manifest, or None."""
        note = self._store.note(_KIND, call.source, call.version)
        if not isinstance(note, dict):
            return None
        target = data / "modules" / call.key
        try:
            shutil.copytree(self._folder / note["content"], target, symlinks=True)
        except OSError:
            shutil.rmtree(target, ignore_errors=True)
            return None
        return {**note["record"], "Key": call.key, "Dir": str(target / note["below"])}

    def keep(self, calls: list[ModuleCall], directory: Path, data: Path) -> None:
        """Store the fetched modules of these calls. Failures only cost a later download."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            records = json.loads((data / "modules" / "modules.json").read_text())["Modules"]
            found = {record["Key"]: record for record in records}
            for call in calls:
                if call.key in found:
                    self._keep_one(call, found[call.key], directory, data)

    def _keep_one(self, call: ModuleCall, record: dict[str, Any], directory: Path, data: Path) -> None:
        package = (data / "modules" / call.key).resolve()
        below = (directory / record["Dir"]).resolve()
        if not below.is_relative_to(package) or _size(package) > MAX_BYTES:
            return
        with tempfile.TemporaryDirectory(prefix="module-", dir=self._store.root / "staging") as aside:
            copy = Path(aside) / "content"
            shutil.copytree(package, copy, symlinks=True, ignore=shutil.ignore_patterns(".git"))
            digest = directory_hash(copy)
            content = base64.b64decode(digest.removeprefix(DIRECTORY_SCHEME)).hex()
            with suppress(OSError):  # another job stored the same content
                copy.rename(self._folder / content)
        value = {
            "content": content,
            "below": below.relative_to(package).as_posix(),
            "record": {name: record[name] for name in ("Source", "Version") if record.get(name)},
        }
        seconds = None if _is_pinned(call) else self._seconds
        self._store.remember(_KIND, call.source, call.version, value=value, seconds=seconds)


def _is_pinned(call: ModuleCall) -> bool:
    """True if a call always leads to the same content."""
    if is_registry_address(call.source):
        return bool(_EXACT_VERSION.fullmatch(call.version))
    return bool(_PINNED.search(call.source))


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
