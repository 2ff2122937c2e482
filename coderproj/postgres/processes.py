"""The processes of a PostgreSQL server."""

from pathlib import Path

from coderproj.base.processes import process_ids


def server_processes(data: Path) -> list[int]:
    """Return the ids of the PostgreSQL processes that use the folder `data`: it is their working directory."""
    wanted = data.resolve()
    found = []
    for pid in process_ids():
        entry = Path(f"/proc/{pid}")
        try:
            if (entry / "cwd").readlink() == wanted and (entry / "comm").read_text().startswith("postgres"):
                found.append(pid)
        except OSError:
            continue
    return found
