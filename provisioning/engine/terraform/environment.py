"""The input of a Terraform command: environment variables from an allow-list, values of variables in a file."""

import json
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from provisioning.engine.base import EngineError, ParameterSchema, ParameterValue
from provisioning.engine.hcl import NotConstantError, expression_value

# Variables of the daemon's environment that every program needs: search path, language and certificates.
ALLOWED = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
# Additional variables for programs that may use the network.
ALLOWED_WITH_NETWORK = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
# Names that a template must not set: they change which program runs or how Terraform runs.
_FORBIDDEN = re.compile(r"(?:LD_|DYLD_|TF_(?!VAR_)|GO(?:DEBUG|TRACEBACK|MAXPROCS|GC)$)|(?:PATH|HOME|TMPDIR)$")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TEXT_TYPES = ("", "string", "number", "bool", "any")
_MAX_VARIABLE_BYTES = 128 * 1024  # Linux's limit for one environment string


def child_environment(*, home: Path, cli_config: Path, network: bool, extra: Iterable[str] = ()) -> dict[str, str]:
    """Return the environment of a Terraform command for the job with the private folder ``home``.

    ``extra`` names more variables of the daemon's environment to pass on.
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
        # Less frequent garbage collection saves a quarter of a plan's CPU time for some tens of megabytes.
        "GOGC": "400",
    }


def environment_parameters(values: Iterable[ParameterValue]) -> dict[str, str]:
    """Return the parameter values that are environment variables.

    Raises EngineError for an invalid name or one that would change how Terraform runs.
    """
    found = {}
    for value in values:
        if value.destination != "environment_variable":
            continue
        if not _NAME.fullmatch(value.name) or _FORBIDDEN.match(value.name):
            raise EngineError(f"parameter {value.name!r} cannot be an environment variable")
        if len(value.name) + len(value.value.encode()) + 2 > _MAX_VARIABLE_BYTES:
            raise EngineError(f"parameter {value.name!r} is too long for an environment variable")
        found[value.name] = value.value
    return found


def variable_values(
    values: Iterable[ParameterValue], variables: Iterable[ParameterSchema], structured: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, str]]:
    """Split the values of declared variables into the content of a JSON variable file and ``TF_VAR_`` variables.

    The template's own values are left out: Terraform reads them itself, with their types. Text goes into the file,
    where Terraform does not evaluate it but converts it to numbers and booleans. Lists, maps and objects go into the
    file as JSON. An expression that only Terraform can evaluate, or reject, goes into the environment. ``structured``
    are the names of variables without a type that are lists or maps in the template: their values can be either.
    Raises EngineError if such an expression is too long.
    """
    declared = {variable.name: variable for variable in variables}
    in_file: dict[str, Any] = {}
    in_environment: dict[str, str] = {}
    for value in values:
        variable = declared.get(value.name)
        if value.destination != "provisioner_variable" or variable is None:
            continue
        if value.value == variable.default_source_value:
            continue
        is_text = variable.validation_value_type.strip() in _TEXT_TYPES
        if is_text and value.name not in structured:
            in_file[value.name] = value.value
            continue
        try:
            found = _evaluated(value.value)
        except NotConstantError:
            if is_text:
                in_file[value.name] = value.value
                continue
            if len(value.value.encode()) + len(value.name) + 16 > _MAX_VARIABLE_BYTES:
                raise EngineError(f"the value of variable {value.name!r} is too long: pass it as JSON") from None
            in_environment[f"TF_VAR_{value.name}"] = value.value
            continue
        in_file[value.name] = value.value if is_text and not isinstance(found, list | dict) else found
    return in_file, in_environment


def _evaluated(text: str) -> Any:
    """Return a value as JSON types, from JSON or an expression. Raises NotConstantError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return expression_value(text)


def write_private(path: Path, content: str) -> Path:
    """Write a file that only its owner can read. Returns ``path``."""
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(opened, "w", encoding="utf-8") as file:
        file.write(content)
    return path
