"""Ordinary texts and files in a bounded process, compared with the same work within this process.

``python -m tests.bench.bounded [ROUNDS]`` prints medians and their ratio. The difference is the way to the process and
back. The last column is what later views of a page pay: decoding the kept result.
"""

import io
import statistics
import sys
import tarfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from coderproj.base.bounded import Pool, Task
from templates_app import starters
from templates_app.tasks.comparison import COMPARE
from templates_app.tasks.markdown import RENDER, Texts
from templates_app.tasks.preview import PREVIEW

DESCRIPTIONS = tuple(f"The **number** of `cores` {number}, see [x](https://example.com)." for number in range(30))
WARM_UP = 3


def cases() -> dict[str, tuple[Task[Any, Any], object]]:
    """Return a task with its argument for each kind of work."""
    main = (starters.FOLDER / "kubernetes" / "main.tf").read_text()
    changed = main.replace("cpu", "cores").replace('"2"', '"4"')
    return {
        "readme": (RENDER, Texts(readme=starters.starters()[0].markdown * 4)),
        "30 descriptions": (RENDER, Texts(short=DESCRIPTIONS)),
        "comparison": (COMPARE, (_tar(main), _tar(changed))),
        "preview": (PREVIEW, _tar(main)),
    }


def _tar(text: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo("main.tf")
        member.size = len(text.encode())
        archive.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


def milliseconds(calls: list[Callable[[], object]], rounds: int) -> list[float]:
    """Return the median time of each call, in turns."""
    times: list[list[float]] = [[] for _ in calls]
    for number in range(rounds + WARM_UP):
        for call, spent in zip(calls, times, strict=True):
            began = time.perf_counter()
            call()
            if number >= WARM_UP:
                spent.append((time.perf_counter() - began) * 1000)
    return [statistics.median(spent) for spent in times]


def main() -> int:
    """Measure each kind of work."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    pool = Pool((COMPARE, PREVIEW, RENDER), size=2)
    print(f"{'':16} {'within ms':>10} {'bounded ms':>11} {'ratio':>6} {'kept ms':>8}")
    for name, (task, argument) in cases().items():
        known = msgspec.msgpack.encode(task.function(argument))
        calls = [
            partial(task.function, argument),
            partial(pool.run, task, argument, user="bench"),
            partial(msgspec.msgpack.decode, known, type=task.result),
        ]
        within, bounded, kept = milliseconds(calls, rounds)
        print(f"{name:16} {within:10.2f} {bounded:11.2f} {bounded / within:6.2f} {kept:8.3f}")
    pool.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
