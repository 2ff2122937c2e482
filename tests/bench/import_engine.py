"""One import by our engine against the same import by the commands that the original runs, interleaved.

The original plans for start and for stop one after the other, each with ``version``, ``init``, ``plan``,
``show`` and ``graph``. Both sides use the same Terraform and the same provider, served by this process; that
flatters the original, which also has to start a provider. Run as ``python -m tests.bench.import_engine
[RUNS]``.
"""

import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

from provisioning.engine.base import LogLevel, PlanInput
from provisioning.engine.terraform import EngineSettings, TerraformEngine, find
from tests.bench.reference import run_reference

TEMPLATE = Path(__file__).parents[1] / "data" / "templates" / "mixed"


def measure(runs: int, settings: EngineSettings = EngineSettings(network=False)) -> dict[str, float]:  # noqa: B008
    """Medians of ``runs`` interleaved imports in milliseconds: wall clock, and processor time of the
    commands.

    ``ratio`` and ``cpu_ratio`` are ours divided by the reference's.
    """
    engine = TerraformEngine(settings)
    program = find().program
    sides: dict[str, Callable[[Path], None]] = {
        "reference": lambda directory: run_reference(program, directory),
        "ours": lambda directory: _ours(engine, directory),
    }
    wall: dict[str, list[float]] = {name: [] for name in sides}
    cpu: dict[str, list[float]] = {name: [] for name in sides}
    for run in range(runs + 1):
        for name, side in sides.items():
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                directory = Path(folder) / "template"
                shutil.copytree(TEMPLATE, directory)
                cpu_before, before = _cpu_of_children(), time.perf_counter()
                side(directory)
                if run:  # the first one warms up
                    wall[name].append((time.perf_counter() - before) * 1000)
                    cpu[name].append((_cpu_of_children() - cpu_before) * 1000)
    result = {f"{name}_ms": statistics.median(times) for name, times in wall.items()}
    result |= {f"{name}_cpu_ms": statistics.median(times) for name, times in cpu.items()}
    result["ratio"] = result["ours_ms"] / result["reference_ms"]
    result["cpu_ratio"] = result["ours_cpu_ms"] / result["reference_cpu_ms"]
    return result


def _ours(engine: TerraformEngine, directory: Path) -> None:
    result = engine.plan_import(directory, PlanInput(), log=_ignore, stop=Event())
    if len(result.start.resources) != 3:
        raise AssertionError(f"the import found {result}")


def _ignore(level: LogLevel, stage: str, output: str) -> None:
    pass


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    for name, value in measure(runs).items():
        print(f"{name:18} {value:8.2f}")


if __name__ == "__main__":
    main()
