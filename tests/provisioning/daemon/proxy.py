"""A TCP proxy between a daemon and its server that can drop connections and terminate TLS."""

import selectors
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

CHUNK = 64 * 1024


class Proxy:
    """Forwards connections to ``target`` (``http://host:port``); with ``tls`` it terminates HTTPS."""

    def __init__(self, target: str, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._tls = tls
        self._host = host
        self._listener = socket.create_server((host, 0))
        self._port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.connections = 0
        self._accept()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{'localhost' if self._tls else self._host}:{self._port}"

    def drop(self) -> None:
        """Close every connection, in any state."""
        with self._lock:
            for end in self._open:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Accept no more connections, and close the existing ones."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.drop()

    def reopen(self) -> None:
        """Accept connections again, at the same address."""
        self._listener = socket.create_server((self._host, self._port))
        self._accept()

    def _accept(self) -> None:
        self._thread = threading.Thread(target=self._serve, args=(self._listener,), daemon=True)
        self._thread.start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        try:
            if self._tls:
                client = self._tls.wrap_socket(client, server_side=True)
            with client, socket.create_connection(self._target) as server:
                with self._lock:
                    self._open |= {client, server}
                try:
                    self._pump(client, server)
                finally:
                    with self._lock:
                        self._open -= {client, server}
        except OSError:
            client.close()

    @staticmethod
    def _pump(client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select():
                    source: socket.socket = key.fileobj
                    while True:
                        data = source.recv(CHUNK)
                        if not data:
                            return
                        key.data.sendall(data)
                        if not (isinstance(source, ssl.SSLSocket) and source.pending()):
                            break


@contextmanager
def proxy_to(target: str, *, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    proxy = Proxy(target, tls=tls)
    try:
        yield proxy
    finally:
        proxy.close()
