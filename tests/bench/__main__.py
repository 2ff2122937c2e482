"""``make bench [SECTION=name]``: each section compares the product with a reference or with goals."""

import subprocess
import sys

SECTIONS = {
    "engine": ("tests.bench.import_engine", "the engine alone against the reference's command sequence"),
    "api": ("tests.bench.api", "reads of the API compared with plain Django REST framework"),
    "jobs": ("tests.bench.jobs", "imports, the queue, followers and the log compared with their goals"),
    "main": ("tests.bench.main_job", "the whole import through the API, server start, memory"),
    "workspaces": ("tests.bench.workspaces", "workspaces: builds beside the same work by hand, the executor"),
    "agents": ("tests.bench.agents", "2,000 connected agents, the relay, statistics over a million builds"),
    "uploads": ("tests.bench.uploads", "memory of the web process during large uploads"),
    "pages": ("tests.bench.pages", "pages of the console, a first visit, and a long log in a browser"),
}


def main() -> int:
    """Run the named sections, or all, one after the other, each in a subprocess."""
    names = sys.argv[1:] or list(SECTIONS)
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        print(f"Unknown section {', '.join(unknown)}. The sections are {', '.join(SECTIONS)}.", file=sys.stderr)
        return 2
    for name in names:
        module, description = SECTIONS[name]
        print(f"\n== {name}: {description}", flush=True)
        status = subprocess.run([sys.executable, "-m", module], check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
