"""Running management commands in tests."""

import io
import json
from typing import Any

from django.core.management import call_command


def run(command: str, *arguments: object) -> str:
    """Run a command and return its output. Raises CommandError."""
    out = io.StringIO()
    call_command(command, *(str(argument) for argument in arguments), stdout=out, stderr=io.StringIO())
    return out.getvalue()


def run_json(command: str, *arguments: object) -> Any:
    """Run a command with ``--json`` and return the decoded output."""
    return json.loads(run(command, "--json", *arguments))
