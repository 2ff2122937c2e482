"""Set up what coderproj runs on. `make` calls this before every other target.

Creates `.venv`, installs the uv that requirements.lock pins, and lets uv make `.venv` equal to the lock, each file
checked by its hash. The optional parts in deploy/locks/ are added where the machine lacks them. When nothing has
changed since the last run, it returns within milliseconds and needs no network. It installs nothing outside `.venv`.

Uses only the standard library. An older Python can run it up to the error message that says so.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subprocess import CompletedProcess
    from typing import Any, TextIO

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / "bootstrap.json"
OLDEST_PYTHON = (3, 11)
PACKAGES = "packages"
LOCKS = {
    PACKAGES: ROOT / "requirements.lock",
    "terraform": ROOT / "deploy" / "locks" / "terraform.lock",
    "postgres": ROOT / "deploy" / "locks" / "postgres.lock",
    "sandbox": ROOT / "deploy" / "locks" / "sandbox.lock",
}
# What is missing without an optional part, and what to install instead.
WITHOUT = {
    "terraform": "importing templates needs `terraform` or `tofu` on PATH, or TERRAFORM_BINARY set",
    "postgres": "the database needs PostgreSQL (Debian: `apt install postgresql`), or DATABASE_URL set",
    "sandbox": "Landlock alone confines installed providers; bubblewrap is better (Debian: `apt install bubblewrap`)",
}


def main() -> int:
    """Run the command line. `--again` retries optional parts that could not be installed before."""
    again = "--again" in sys.argv[1:]
    require_python()
    if again or missing_parts():
        with Path(__file__).open() as lock:
            wait_for_turn(lock)
            set_up(again=again)
    return 0


def say(message: str) -> None:
    print(f"setup: {message}", flush=True)


def run(command: list[str | Path], **options: Any) -> CompletedProcess[str]:
    """Run a program; its output is text."""
    # Imported here, like `re` below: every `make` checks what is missing, and twice as fast without these modules.
    import subprocess

    return subprocess.run(command, check=False, text=True, **options)


# ------------------------------------------------------------------ Python


def require_python() -> None:
    """Continue in a newer Python if this one is too old. Exits if there is none."""
    if sys.version_info >= OLDEST_PYTHON:
        return
    for minor in range(20, OLDEST_PYTHON[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        # Version managers put shims on PATH even for disabled versions.
        if found and run([found, "-c", ""], capture_output=True).returncode == 0:
            os.execv(found, [found, *sys.argv])  # noqa: S606 - no shell is involved
    sys.exit(
        f"error: coderproj needs Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer; this is "
        f"{sys.version.split()[0]}. Install a newer one, or name it: make PYTHON=/path/to/python3"
    )


def ensure_environment() -> None:
    """Create `.venv`; create it again if its interpreter is missing or too old, or if the folder was moved."""
    if environment_fits():
        return
    if VENV.is_symlink():  # clearing it would empty an environment that belongs to another folder
        sys.exit("error: .venv is a link to an environment that is not this folder's: remove the link.")
    say(f"creating .venv with Python {sys.version.split()[0]}")
    # The interpreter below any virtual environment that this runs in.
    python = getattr(sys, "_base_executable", None) or sys.executable
    if run([python, "-c", "import ensurepip"], capture_output=True).returncode != 0:
        sys.exit("error: this Python cannot create .venv: install its venv module (Debian: `apt install python3-venv`)")
    created = run([python, "-m", "venv", "--clear", VENV], capture_output=True)
    if created.returncode != 0:
        sys.exit(f"error: cannot create .venv: {created.stdout.strip()} {created.stderr.strip()}")


def environment_fits() -> bool:
    """True if `.venv` has a working interpreter that is new enough and was installed to this folder."""
    question = f"import sys; print(sys.version_info >= {OLDEST_PYTHON}, sys.prefix)"
    try:
        answer = run([VENV_PYTHON, "-I", "-c", question], capture_output=True)
    except OSError:
        return False
    if answer.returncode != 0:
        return False
    # The programs in .venv/bin name the folder that they were installed to.
    activate = VENV / "bin" / "activate"
    return answer.stdout.strip() == f"True {VENV}" and str(VENV) in activate.read_text(errors="replace")


# ------------------------------------------------------------------ what is missing


def digest(part: str) -> str:
    return hashlib.sha256(LOCKS[part].read_bytes()).hexdigest()


def read_stamp() -> dict[str, str]:
    """Return the record of the last run, by part: its lock's digest, `failed:` and that digest, or the path of the
    machine's own programs."""
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) and stamp.get("folder") == str(VENV) else {}


def write_stamp(stamp: dict[str, str]) -> None:
    unfinished = STAMP.with_suffix(".new")
    unfinished.write_text(json.dumps(stamp, indent=2) + "\n")
    unfinished.replace(STAMP)


def missing_parts(*, again: bool = False) -> list[str]:
    """Return the names in LOCKS to install; with `again`, also those that failed before."""
    stamp = read_stamp() if os.access(VENV_PYTHON, os.X_OK) else {}

    def missing(part: str) -> bool:
        found = stamp.get(part, "")
        return (found if again else found.removeprefix("failed:")) != digest(part)

    parts = [PACKAGES]
    if not os.environ.get("TERRAFORM_BINARY"):
        parts.append("terraform")
    # Asking a server for its version takes ten times as long as all the rest, so its folder is stored.
    has_server = not again and (Path(stamp.get("postgres", "/")) / "initdb").is_file()
    if not os.environ.get("DATABASE_URL") and not has_server:
        parts.append("postgres")
    if not shutil.which("bwrap"):
        parts.append("sandbox")
    return [part for part in parts if missing(part)]


def postgres_folder() -> str:
    """Return the folder of the machine's own PostgreSQL programs; empty if it has none."""
    sys.path.insert(0, str(ROOT))
    from coderproj.postgres.binaries import installations

    return next((str(found.bin) for found in installations(with_wheel=False)), "")


# ------------------------------------------------------------------ installing


def wait_for_turn(lock: TextIO) -> None:
    """Run one set-up at a time for each checkout. The lock is on this file, so nothing is left behind."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waiting for another set-up")
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError:
        say("this file system has no locks: do not run two set-ups at the same time")


def set_up(*, again: bool) -> None:
    """Install the missing parts. Exits if the packages cannot be installed; an optional part is a warning."""
    ensure_environment()
    stamp = {**read_stamp(), "folder": str(VENV)}
    for part in missing_parts(again=again):
        if part == "postgres" and (folder := postgres_folder()):
            stamp[part] = folder
        elif part == PACKAGES:
            say("installing the packages of requirements.lock")
            ensure_uv()
            # Parts that are installed and current are named too: uv removes what no lock names.
            current = [LOCKS[name] for name in WITHOUT if stamp.get(name) == digest(name)]
            if not uv("sync", LOCKS[PACKAGES], *current):
                sys.exit("error: the packages could not be installed; the reason is above")
            stamp[part] = digest(part)
        else:
            say(f"installing {part}")
            if uv("install", "--no-deps", "--only-binary", ":all:", "-r", LOCKS[part]):
                stamp[part] = digest(part)
            else:
                stamp[part] = f"failed:{digest(part)}"
                say(f"warning: {part} could not be installed: {WITHOUT[part]} (`make setup` tries again)")
        write_stamp(stamp)
    say("ready")


def uv(action: str, *arguments: str | Path) -> bool:
    """Run `uv pip ACTION` on `.venv`. Returns True on success."""
    options = ("--python", VENV_PYTHON, "--require-hashes", "--quiet")
    return run([VENV / "bin" / "uv", "pip", action, *options, *arguments], env=uv_environment()).returncode == 0


def ensure_uv() -> None:
    """Install the pinned uv with pip, if `.venv` has no working one. uv installs the rest in a tenth of pip's time."""
    import re
    import tempfile

    try:
        if run([VENV / "bin" / "uv", "--version"], capture_output=True).returncode == 0:
            return
    except OSError:
        pass
    pin = re.search(r"^uv==.*(?:\n +--hash=.*)*", LOCKS[PACKAGES].read_text(), re.MULTILINE)
    assert pin, "requirements.lock does not name uv"
    with tempfile.NamedTemporaryFile("w", suffix=".lock") as lock:
        lock.write(pin.group())
        lock.flush()
        options = ("--quiet", "--force-reinstall", "--require-hashes", "-r", Path(lock.name))
        if run([VENV_PYTHON, "-m", "pip", "--disable-pip-version-check", "install", *options]).returncode != 0:
            sys.exit("error: uv could not be installed; the reason is above")


def uv_environment() -> dict[str, str]:
    """Return the environment with pip's settings as uv's variables: uv does not read pip's files."""
    environment = {**os.environ, "UV_NO_PROGRESS": "1"}
    settings = pip_settings()
    for setting, variable in (
        ("index-url", "UV_DEFAULT_INDEX"),
        ("extra-index-url", "UV_INDEX"),
        ("find-links", "UV_FIND_LINKS"),
        ("cert", "SSL_CERT_FILE"),
        ("trusted-host", "UV_INSECURE_HOST"),
        ("no-index", "UV_NO_INDEX"),
    ):
        if setting in settings:
            environment.setdefault(variable, settings[setting])
    return environment


def pip_settings() -> dict[str, str]:
    """Return pip's settings by name, from its files and the environment; the environment comes last and wins."""
    import re

    listed = run([VENV_PYTHON, "-m", "pip", "config", "list"], capture_output=True).stdout
    found = re.findall(r"^(?:global|install|:env:)\.([a-z-]+)='(.*)'$", listed, re.MULTILINE)
    return {name: " ".join(value.replace("\\n", " ").split()) for name, value in found}


if __name__ == "__main__":
    sys.exit(main())
