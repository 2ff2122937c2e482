"""Keep the dependency graphs of templates by their content. A template is built many times, and its graph depends on
its configuration and on the program alone."""

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

# Of one template. Larger ones are not kept: reading them takes as long as making the graph.
MAX_FILES, MAX_BYTES = 500, 4 << 20
MAX_GRAPH_BYTES = 4 << 20
MAX_GRAPHS = 256
_CONFIGURATION = (".tf", ".tf.json", ".tofu", ".tofu.json")


class GraphCache:
    """The graphs in a folder, which is created if it does not exist. ``program`` is the name and version of the one
    that makes them. Failures only cost another graph."""

    def __init__(self, root: Path, program: str) -> None:
        self._root = root
        self._program = program

    def key(self, directory: Path) -> str | None:
        """Return the key of a template without remote modules; None if it is too large or cannot be read."""
        digest = hashlib.sha256(self._program.encode())
        count = size = 0
        try:
            for folder, folders, names in os.walk(directory, onerror=_fail):
                folders.sort()
                count += len(names)
                if count > MAX_FILES:
                    return None
                for path in (Path(folder, name) for name in sorted(names) if name.endswith(_CONFIGURATION)):
                    content = path.read_bytes()
                    size += len(content)
                    if size > MAX_BYTES:
                        return None
                    name = path.relative_to(directory).as_posix()
                    digest.update(f"{len(name)} {name} {len(content)} ".encode("utf-8", "surrogateescape"))
                    digest.update(content)
        except OSError:
            return None
        return digest.hexdigest()

    def find(self, key: str) -> str | None:
        """Return a graph, or None."""
        path = self._root / key
        try:
            graph = path.read_text(encoding="utf-8")
            os.utime(path)  # so that those in use are kept
        except (OSError, ValueError):
            return None
        return graph

    def keep(self, key: str, graph: str) -> None:
        """Store a graph, and remove the ones that were not used for the longest time."""
        data = graph.encode()
        if len(data) > MAX_GRAPH_BYTES:
            return
        with suppress(OSError):
            self._root.mkdir(parents=True, exist_ok=True)
            temporary = self._root / f".{key}.{os.getpid()}.{time.monotonic_ns()}"
            temporary.write_bytes(data)
            temporary.replace(self._root / key)
            self._remove_old()

    def _remove_old(self) -> None:
        paths = list(self._root.iterdir())
        if len(paths) <= MAX_GRAPHS:
            return
        for path in sorted(paths, key=_last_use)[:-MAX_GRAPHS]:
            path.unlink(missing_ok=True)


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another job has removed it
        return 0.0


def _fail(error: OSError) -> None:
    raise error
