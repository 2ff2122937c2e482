"""What a Terraform command is given: environment variables by allow-list, values of variables by file."""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from provisioning.engine.base import EngineError, ParameterSchema, ParameterValue

# Of the daemon's environment: what any program needs to find others, its language and certificates,
ALLOWED = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
# and what it needs on top where it may use the network.
ALLOWED_WITH_NETWORK = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
# Names that no template value may set: they would change what is run rather than what it is run with.
_FORBIDDEN = re.compile(r"(?:LD_|DYLD_|TF_(?!VAR_)|GO(?:DEBUG|TRACEBACK|MAXPROCS|GC)$)|(?:PATH|HOME|TMPDIR)$")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TEXT_TYPES = ("", "string", "number", "bool", "any")
_LONGEST_VARIABLE = 128 * 1024  # Linux's limit of one environment string


def child_environment(*, home: Path, cli_config: Path, network: bool, extra: Iterable[str] = ()) -> dict[str, str]:
    """The environment of a Terraform command of the job whose private folder is ``home``.

    ``extra`` names further variables of the daemon's environment to pass on.
    """
    allowed = {*ALLOWED, *extra, *(ALLOWED_WITH_NETWORK if network else ())}
    environment = {name: value for name, value in os.environ.items() if name in allowed}
    environment.setdefault("PATH", os.defpath)
    return environment | {
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "TF_CLI_CONFIG_FILE": str(cli_config),
        "TF_DATA_DIR": str(home / "data"),
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
        # Collecting garbage less often saves a quarter of a plan's processor time, for some tens of megabytes.
        "GOGC": "400",
    }


def environment_parameters(values: Iterable[ParameterValue]) -> dict[str, str]:
    """The values that a template wants as environment variables.

    Raises EngineError for a name that is none or that would change how Terraform itself runs.
    """
    found = {}
    for value in values:
        if value.destination != "environment_variable":
            continue
        if not _NAME.fullmatch(value.name) or _FORBIDDEN.match(value.name):
            raise EngineError(f"parameter {value.name!r} cannot be an environment variable")
        if len(value.name) + len(value.value.encode()) + 2 > _LONGEST_VARIABLE:
            raise EngineError(f"parameter {value.name!r} is too long for an environment variable")
        found[value.name] = value.value
    return found


def variable_values(
    values: Iterable[ParameterValue], variables: Iterable[ParameterSchema]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Split the values of declared variables into the content of a JSON variable file and ``TF_VAR_`` variables.

    Text goes into the file, where nothing in it is evaluated; Terraform converts it to numbers and booleans. Lists,
    maps and objects go there too when they are JSON; else they are an expression in Terraform's own syntax, which it
    reads only from a command line or the environment. Raises EngineError for an expression that is too long for it.
    """
    types = {variable.name: variable.validation_value_type.strip() for variable in variables}
    in_file: dict[str, Any] = {}
    in_environment: dict[str, str] = {}
    for value in values:
        if value.destination != "provisioner_variable" or value.name not in types:
            continue
        if types[value.name] in _TEXT_TYPES:
            in_file[value.name] = value.value
            continue
        try:
            in_file[value.name] = json.loads(value.value)
        except (ValueError, RecursionError):
            if len(value.value.encode()) + len(value.name) + 16 > _LONGEST_VARIABLE:
                raise EngineError(f"the value of variable {value.name!r} is too long: give it as JSON") from None
            in_environment[f"TF_VAR_{value.name}"] = value.value
    return in_file, in_environment


def write_private(path: Path, content: str) -> Path:
    """Write a file that only its owner reads; returns ``path``."""
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(opened, "w", encoding="utf-8") as file:
        file.write(content)
    return path
