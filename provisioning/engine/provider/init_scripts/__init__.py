"""The ``init_script`` of agents: what a machine runs to fetch its agent from the server and to become it.

Templates start it as ``sh -c '<script>'``, as user data of a cloud, or as a file. The token is not part of it: the
template sets ``CODER_AGENT_TOKEN`` in the machine's environment (contract, bootstrap script and binary).
"""

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
ARCHITECTURES = {"linux": ("amd64", "arm64", "armv7"), "darwin": ("amd64", "arm64"), "windows": ("amd64", "arm64")}


@cache
def init_script(system: str, architecture: str) -> str | None:
    """Return the script with the placeholders ``${ACCESS_URL}``, which ends with a slash, and ``${AUTH_TYPE}``; None
    for machines that no agent exists for."""
    if architecture not in ARCHITECTURES.get(system, ()):
        return None
    name = "windows.ps1" if system == "windows" else "unix.sh"
    text = (FOLDER / name).read_text()
    return text.replace("${OS}", system).replace("${ARCH}", architecture)
