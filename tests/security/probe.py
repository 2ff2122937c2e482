"""A caller of its own process that reads paths twice a second: ``python -m tests.security.probe URL TOKEN PATH…``.

Prints ``milliseconds status`` for each read until its standard input ends. It imports nothing of the product: the times
are those of the server, not of a busy client.
"""

import http.client
import sys
import threading
import time
from urllib.parse import urlsplit

INTERVAL = 0.5
# A read that takes longer counts with this time.
TIMEOUT = 30.0


def read(netloc: str, path: str, token: str) -> tuple[float, int]:
    """Return milliseconds and status of one read on a new connection; the status is 0 if it failed."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection(netloc, timeout=TIMEOUT)
    try:
        connection.request("GET", path, headers={"Coder-Session-Token": token})
        response = connection.getresponse()
        response.read()
        status = response.status
    except OSError:
        status = 0
    finally:
        connection.close()
    return (time.perf_counter() - began) * 1000, status


def probe(netloc: str, path: str, token: str, ended: threading.Event) -> None:
    """Read the path until ``ended`` is set."""
    while not ended.is_set():
        milliseconds, status = read(netloc, path, token)
        print(f"{milliseconds:.1f} {status}", flush=True)
        ended.wait(max(0.0, INTERVAL - milliseconds / 1000))


def main() -> None:
    """Run the command line."""
    url, token, *paths = sys.argv[1:]
    ended = threading.Event()
    threads = [threading.Thread(target=probe, args=(urlsplit(url).netloc, path, token, ended)) for path in paths]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
