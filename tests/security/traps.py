"""The targets of hostile templates, and the listeners that detect access to them."""

import os
import selectors
import socket
import tempfile
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

# The prefix of every secret.
SECRET = "hunter2-"
ENVIRONMENT = "ESCAPES_SECRET"


class Traps:
    """Secrets in a file, in the environment and in another job's folder; listeners that count connections.

    ``folder`` stands for the host, ``scratch`` is the folder of the jobs.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="escapes-"))).resolve()
        self.scratch = self.folder / "scratch"
        self.scratch.mkdir()
        self.secret_file = self.folder / "host" / "secret.txt"
        self.secret_file.parent.mkdir()
        self.secret_file.write_text(f"{SECRET}file")
        self.other_job = self.scratch / "tf-other"
        (self.other_job / "data").mkdir(parents=True)
        (self.other_job / "values.tfvars.json").write_text(f'{{"token": "{SECRET}other-job"}}')
        os.environ[ENVIRONMENT] = f"{SECRET}environment"
        self._stack.callback(os.environ.pop, ENVIRONMENT, None)
        self._selector = self._stack.enter_context(selectors.DefaultSelector())
        self.connections = 0
        tcp = socket.create_server(("127.0.0.1", 0))
        self.port = tcp.getsockname()[1]
        self.socket_path = self.folder / "host" / "db.sock"
        self.abstract_name = f"escapes-{os.getpid()}"
        for listener, address in (
            (tcp, None),
            (socket.socket(socket.AF_UNIX), str(self.socket_path)),
            (socket.socket(socket.AF_UNIX), f"\0{self.abstract_name}"),
        ):
            self._stack.enter_context(listener)
            if address is not None:
                listener.bind(address)
                listener.listen()
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ)
        self._closing = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing = True
        self._thread.join()
        self._stack.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def outside(self) -> set[str]:
        """Return the paths outside the jobs' folders. A job must not add any; folders can disappear during the walk."""
        jobs = str(self.folder / "jobs")
        return {
            os.path.join(folder, name)  # noqa: PTH118 - os.walk tolerates folders that disappear
            for folder, folders, files in os.walk(self.folder)
            for name in (*folders, *files)
            if not f"{folder}/{name}/".startswith(f"{jobs}/")
        }

    def _accept(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select(0.05):
                listener = key.fileobj
                assert isinstance(listener, socket.socket)
                with suppress(BlockingIOError):
                    connection, _ = listener.accept()
                    connection.close()
                    self.connections += 1
