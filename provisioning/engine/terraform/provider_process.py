"""Run installed providers in sandboxes of their own, and connect Terraform to them.

Terraform connects to the runner's socket, which ``TF_REATTACH_PROVIDERS`` names. For each connection, the runner starts
one process of the provider, as Terraform itself would start one for each provider configuration. Bytes are passed on
unchanged. So Terraform, which evaluates the template, has no access to what the operator allows to providers: network,
files and sockets.
"""

import os
import re
import selectors
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from provisioning.engine import launcher, sandbox
from provisioning.engine.base import EngineError, Limits
from provisioning.engine.provider.server import MAX_SOCKET_PATH_BYTES
from provisioning.engine.sandbox import Access, Program, SandboxKind
from provisioning.engine.terraform.output import clean, shortened
from provisioning.engine.terraform.plan_gate import PlanGate

PROTOCOLS = (5, 6)
MAX_ERROR_LINES = 40
_START_SECONDS = 60.0
_LINGER_SECONDS = 0.5
_CHUNK = 1 << 18
_MAX_HANDSHAKE_BYTES = 1 << 14
_MAX_STDERR_BYTES = 1 << 16
_GO_CRASH = re.compile(r"panic: |fatal error: |SIG[A-Z]+: ")

# The handshake of Terraform's plugins, which is public: programs refuse to run as a provider without it.
HANDSHAKE = {
    "TF_PLUGIN_MAGIC_COOKIE": "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
    "PLUGIN_PROTOCOL_VERSIONS": ",".join(map(str, PROTOCOLS)),
    "PLUGIN_MIN_PORT": "10000",
    "PLUGIN_MAX_PORT": "25000",
}


@dataclass(frozen=True, slots=True)
class ProviderProgram:
    """How to start a provider: ``home`` makes a private folder, which ``access`` does not include. ``gate`` makes the
    way out of its network namespace; None leaves the network as ``access`` says.
    """

    name: str
    path: Path
    kind: SandboxKind
    directory: Path
    environment: dict[str, str] = field(repr=False)
    access: Access
    limits: Limits
    home: Callable[[], Path]
    gate: Callable[[], PlanGate] | None = None
    report_problem: Callable[[str], None] = lambda _: None  # receives why there is no way out


class ProviderProcess:
    """A running provider; ``protocol`` is 5 or 6, ``problem`` why it has no network.

    The creating thread must outlive it. Raises EngineError if the program does not start as a provider.
    """

    def __init__(self, program: ProviderProgram, stopped: Callable[[], bool]) -> None:
        self._program = program
        self._home = program.home()
        (self._home / "tmp").mkdir(mode=0o700)
        self._stderr = bytearray()
        self._readers: list[threading.Thread] = []
        self._gate = program.gate() if program.gate is not None else None
        try:
            self._process = self._start()
        except BaseException:
            self._close_gate()
            raise
        try:
            self.problem = self._gate.start() if self._gate is not None else ""
            line = self._handshake(stopped)
            self.protocol, self.socket_path = self._parsed(line)
        except BaseException:
            self.stop()
            raise
        for pipe in (self._process.stdout, self._process.stderr):
            reader = threading.Thread(target=self._drain, args=(pipe,), name="provider-output", daemon=True)
            reader.start()
            self._readers.append(reader)

    def _start(self) -> subprocess.Popen[bytes]:
        program = self._program
        temporary = str(self._home / "tmp")
        gate = self._gate.child_channel.fileno() if self._gate is not None else None
        own = {"HOME": str(self._home), "TMPDIR": temporary, "PLUGIN_UNIX_SOCKET_DIR": temporary}
        launched = sandbox.launch(
            program.kind,
            Program(program.path),
            (),
            directory=program.directory,
            environment={**program.environment, **own, **HANDSHAKE},
            access=replace(
                program.access,
                write=(*program.access.write, self._home),
                gate=gate,
                redirected=self._gate.networks if self._gate is not None else (),
            ),
            limits=program.limits,
        )
        try:
            process = subprocess.Popen(
                launched.arguments,
                cwd=program.directory,
                env={"PATH": os.defpath},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                pass_fds=() if gate is None else (gate,),
            )
        except OSError as error:
            raise EngineError(f"provider {program.name} could not be started: {error.strerror}") from error
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            view = memoryview(launched.request)
            while view:
                view = view[process.stdin.write(view) :]
            process.stdin.close()
        return process

    def _handshake(self, stopped: Callable[[], bool]) -> bytes:
        """Wait for the first line of standard output."""
        give_up_at = time.monotonic() + _START_SECONDS
        line = bytearray()
        with selectors.DefaultSelector() as selector:
            for pipe in (self._process.stdout, self._process.stderr):
                assert pipe is not None
                selector.register(pipe, selectors.EVENT_READ)
            while b"\n" not in line:
                if stopped() or time.monotonic() > give_up_at:
                    raise self._failure(f"it did not start within {_START_SECONDS:g} seconds")
                for key, _ in selector.select(0.05):
                    chunk = os.read(key.fd, _MAX_HANDSHAKE_BYTES)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is self._process.stdout:
                        line += chunk
                    else:
                        self._note_error(chunk)
                if not selector.get_map() or len(line) > _MAX_HANDSHAKE_BYTES:
                    status = self._process.wait()
                    if status == launcher.FAILED:
                        raise self._failure("it could not be sandboxed")
                    raise self._failure(f"it does not start as a provider (exit status {status})")
        return bytes(line.partition(b"\n")[0])

    def _parsed(self, line: bytes) -> tuple[int, Path]:
        """Return protocol and socket of a handshake: ``1|5|unix|/tmp/plugin1|grpc|``."""
        parts = line.decode(errors="replace").strip().split("|")
        if len(parts) < 5 or parts[0] != "1":
            raise self._failure("it does not start as a provider")
        if parts[1] not in map(str, PROTOCOLS) or parts[4] != "grpc":
            raise self._failure(f"it speaks protocol {parts[1]}, Terraform needs {' or '.join(map(str, PROTOCOLS))}")
        path = Path(parts[3])
        if parts[2] != "unix" or not path.resolve().is_relative_to(self._home):
            raise self._failure("it does not listen on a unix socket in its temporary folder")
        return int(parts[1]), path

    def _failure(self, reason: str) -> EngineError:
        lines = [clean(line).strip() for line in self._stderr.decode(errors="replace").splitlines() if line.strip()]
        text = f"{reason}: {lines[-1]}" if lines else reason
        return EngineError(shortened(f"provider {self._program.name} cannot be used: {text}"))

    def connect(self) -> socket.socket:
        """Return a connection to the provider. Raises OSError."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self.socket_path))
        except BaseException:
            connection.close()
            raise
        return connection

    def crash(self) -> list[str]:
        """Return the report of a crash on standard error, empty if there is none."""
        lines = [clean(line).rstrip() for line in self._stderr.decode(errors="replace").splitlines()]
        start = next((number for number, line in enumerate(lines) if _GO_CRASH.match(line)), len(lines))
        return [line for line in lines[start : start + MAX_ERROR_LINES] if line]

    def stop(self) -> None:
        """Kill the process and its children. Can be called again."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, 9)
        self._process.wait()
        self._close_gate()
        for reader in self._readers:
            reader.join(_LINGER_SECONDS)
        if any(reader.is_alive() for reader in self._readers):  # a process that left the group still has the pipes
            return
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _close_gate(self) -> None:
        if self._gate is not None:
            self._gate.close()

    def _drain(self, pipe: IO[bytes]) -> None:
        with suppress(OSError, ValueError):
            while chunk := os.read(pipe.fileno(), _CHUNK):
                if pipe is self._process.stderr:
                    self._note_error(chunk)

    def _note_error(self, chunk: bytes) -> None:
        self._stderr += chunk
        del self._stderr[:-_MAX_STDERR_BYTES]


class ProviderForwarder:
    """Listens on ``path`` and starts a process of the provider for each connection, until ``close``.

    ``report`` receives why a process did not start, and the lines of its crash. Raises OSError if the socket cannot be
    created, ValueError if its path is too long.
    """

    def __init__(
        self,
        path: Path,
        program: ProviderProgram,
        report: Callable[[str], None],
        stopped: Callable[[], bool],
    ) -> None:
        if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
            raise ValueError(f"a socket path can have at most {MAX_SOCKET_PATH_BYTES} bytes: {path}")
        self.socket_path = path
        self._program = program
        self._report = report
        self._stopped = stopped
        self._lock = threading.Lock()
        self._is_closed = False
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        try:
            self._listener.bind(str(path))
            path.chmod(0o600)
            self._listener.listen(64)
        except BaseException:
            self._listener.close()
            raise
        self._start(self._accept)

    def close(self) -> None:
        """Close all connections and end all processes."""
        with self._lock:
            self._is_closed = True
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()
        self.socket_path.unlink(missing_ok=True)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name="provider-forwarder", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._is_closed:
                    connection.close()
                    return
                self._connections.add(connection)
            self._start(self._serve, connection)

    def _serve(self, client: socket.socket) -> None:
        try:
            # Terraform connects once only to see whether the socket works: nothing is started for that.
            if client.recv(1, socket.MSG_PEEK):
                self._run(client)
        except OSError:
            pass
        finally:
            with self._lock:
                self._connections.discard(client)
            client.close()

    def _run(self, client: socket.socket) -> None:
        try:
            process = ProviderProcess(self._program, lambda: self._is_closed or self._stopped())
        except EngineError as error:
            if not self._is_closed:
                self._report(str(error))
            return
        if process.problem:
            self._program.report_problem(process.problem)
        try:
            with process.connect() as server:
                back = threading.Thread(target=_pass_on, args=(server, client), name="provider-answers", daemon=True)
                back.start()
                _pass_on(client, server)
                with suppress(OSError):
                    server.shutdown(socket.SHUT_RDWR)
                back.join()
        finally:
            process.stop()
            for line in process.crash():
                self._report(f"provider {self._program.name}: {line}")


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until one side closes, then close both directions of the target."""
    with suppress(OSError):
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
    for one in (target, source):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
