"""Running management commands from tests, as somebody at a terminal does."""

import io
import json
from typing import Any

from django.core.management import call_command


def run(command: str, *arguments: object) -> str:
    """What the command writes. Raises CommandError."""
    out = io.StringIO()
    call_command(command, *(str(argument) for argument in arguments), stdout=out, stderr=io.StringIO())
    return out.getvalue()


def run_json(command: str, *arguments: object) -> Any:
    """What the command answers with ``--json``."""
    return json.loads(run(command, "--json", *arguments))
