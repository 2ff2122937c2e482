"""What really exists of the things that the toy provider makes."""

import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self


class Inventory:
    """Records changes that providers send to a unix socket. ``changes`` are ``~name`` at the start of a creation,
    ``+name`` after it, and ``-name``, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.changes: list[str] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def existing(self) -> set[str]:
        """The names of the things that exist."""
        found: set[str] = set()
        for change in self.changes:
            if change[0] != "~":
                (found.add if change[0] == "+" else found.discard)(change[1:])
        return found

    def wait_for(self, change: str, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while change not in self.changes:
            assert time.monotonic() < deadline, f"no {change} within {seconds} s"
            time.sleep(0.01)

    def __enter__(self) -> Self:
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, client.makefile("rb") as lines:
                self.changes.append(lines.readline().decode().strip())
                client.sendall(b".")
