"""Machines of workspaces, played by processes: they run our own agent as an init script would."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from templates_app.agents.program import agent
from tests.api import ApiClient
from tests.vocabulary import wait_until

# How long a test waits for an agent.
SECONDS = 60
SHELLS: Mapping[str, Sequence[str]] = {"dash": ["dash"], "bash": ["bash"], "busybox": ["busybox", "sh"]}
# What the agent needs besides curl or wget.
UTILITIES = (
    "awk",
    "cat",
    "chmod",
    "dd",
    "getent",
    "id",
    "mkfifo",
    "od",
    "rm",
    "sh",
    "sleep",
    "tr",
    "wc",
    "mkdir",
    "mktemp",
    "timeout",
    "touch",
    "env",
)


def shell(name: str) -> Sequence[str]:
    """Return the command of a shell. Skips the test if the machine does not have it."""
    program, *arguments = SHELLS[name]
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return [found, *arguments]


def shown(user: Any, agent: Any) -> Any:
    """Return an agent as its user sees it."""
    return ApiClient(user).get(f"workspaceagents/{agent.pk}").body


def wait_for(user: Any, agent: Any, **fields: Any) -> None:
    """Wait until the agent is shown with these fields."""
    wait_until(lambda: fields.items() <= shown(user, agent).items(), SECONDS, f"an agent with {fields}")


class Machine:
    """A machine on which the agent runs, with a home and a folder for temporary files in ``folder``."""

    def __init__(self, folder: Path, url: str, token: str, *, command: Sequence[str] = ("sh",), **variables: str):
        self.folder = folder
        self.home, self.temporary = folder / "home", folder / "tmp"
        for one in (self.home, self.temporary):
            one.mkdir(parents=True, exist_ok=True)
        self.program = folder / "coder"
        self.program.write_bytes(agent())
        self.command = [*command, str(self.program), "agent"]
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "CODER_AGENT_URL": f"{url}/",
            "CODER_AGENT_TOKEN": token,
            "CODER_AGENT_AUTH": "token",
            **variables,
        }
        self.log = folder / "agent.log"
        self.process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def running(self) -> Iterator["Machine"]:
        """Run the agent while the block runs, then end all of its processes."""
        self.start()
        try:
            yield self
        finally:
            self.kill()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> int:
        """Stop the agent as an operating system does, and return its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)

    def kill(self) -> None:
        """Switch the machine off."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def processes(self) -> dict[int, list[str]]:
        """Return the command lines of all processes of the machine."""
        assert self.process is not None
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.getsid(int(folder.name)) == self.process.pid:
                    found[int(folder.name)] = (folder / "cmdline").read_text().split("\0")[:-1]
            except (OSError, UnicodeDecodeError):
                continue
        return found

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def files(self) -> dict[str, bytes]:
        """Return what is on the machine's disk besides its programs and what the agent prints."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for folder in (self.home, self.temporary)
            for path in folder.rglob("*")
            if path.is_file()
        }


def path_without(folder: Path, *missing: str, instead: Mapping[str, str] | None = None) -> str:
    """Return a PATH with the utilities that the agent needs, curl and wget, but without some programs. ``instead`` are
    programs by name that link to others."""
    folder.mkdir()
    kept = {"curl", "wget"} - set(missing)
    if kept and not any(map(shutil.which, kept)):
        pytest.skip(f"{' and '.join(kept)} is not installed")
    for name in {*UTILITIES, *kept} - {*missing, *(instead or {})}:
        found = shutil.which(name)
        if found is not None:
            (folder / name).symlink_to(found)
    for name, target in (instead or {}).items():
        (folder / name).symlink_to(target)
    return str(folder)
