"""The agent of our own: a shell script, so that one program serves every machine with a POSIX shell.

``agent()`` assembles it from the files of this package.

| file | contents |
| --- | --- |
| `head.sh` | the rules of the script, messages |
| `json.sh`, `json.awk` | reading JSON |
| `requests.sh` | requests to the server, with curl or wget |
| `startup.sh` | the startup script: its environment, its states |
| `apps.sh` | health of apps, connections to apps |
| `connection.sh` | staying connected, stopping |
| `main.sh` | arguments, settings, the main loop |
"""

from functools import cache
from pathlib import Path

from django.conf import settings

FOLDER = Path(__file__).parent
PARTS = ("head", "json", "requests", "startup", "apps", "connection", "main")


@cache
def agent() -> bytes:
    """Return the script, which reports the version of this server."""
    text = "\n".join((FOLDER / f"{part}.sh").read_text() for part in PARTS)
    parser = (FOLDER / "json.awk").read_text()
    return text.replace("@PARSER@", f"\n{parser}").replace("@VERSION@", settings.BUILD_VERSION).encode()
