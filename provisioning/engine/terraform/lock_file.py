"""Read and write Terraform's dependency lock file."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from provisioning.engine.base import EngineError
from provisioning.engine.terraform.config_syntax import ConfigSyntaxError, parse, quoted

LOCK_FILE = ".terraform.lock.hcl"
MAX_BYTES = 1 << 20
DIRECTORY_SCHEME, ARCHIVE_SCHEME = "h1:", "zh:"


@dataclass(frozen=True, slots=True)
class Locked:
    """The selected version of one provider, and the hashes of its packages: ``h1:`` of a folder, ``zh:`` of a zip."""

    version: str
    hashes: tuple[str, ...] = ()

    @property
    def archive_hashes(self) -> frozenset[str]:
        return frozenset(one for one in self.hashes if one.startswith(ARCHIVE_SCHEME))


def read(directory: Path) -> dict[str, Locked]:
    """Return the locked providers of a template by address, none without a lock file. Raises EngineError."""
    path = directory / LOCK_FILE
    try:
        if path.is_symlink() or path.stat().st_size > MAX_BYTES:
            raise EngineError(f"{LOCK_FILE}: expected a file of at most {MAX_BYTES >> 10} KiB")
        body = parse(path.read_text())
    except FileNotFoundError:
        return {}
    except (ConfigSyntaxError, UnicodeDecodeError) as error:
        raise EngineError(f"{LOCK_FILE}: {error}") from error
    found = {}
    for item in body.of("provider"):
        version = item.body.first("version").text
        if len(item.labels) != 1 or not version:
            raise EngineError(f"{LOCK_FILE}: a provider block needs an address and a version: {item.source[:80]}")
        found[item.labels[0]] = Locked(version, item.body.first("hashes").texts)
    return found


def text(address: str, locked: Locked, *, more: Iterable[str] = ()) -> str:
    """Return a lock file for one provider; ``more`` are further hashes."""
    hashes = "".join(f"    {quoted(one)},\n" for one in dict.fromkeys((*locked.hashes, *more)))
    return (
        f"provider {quoted(address)} {{\n  version = {quoted(locked.version)}\n"
        + (f"  hashes = [\n{hashes}  ]\n" if hashes else "")
        + "}\n"
    )
