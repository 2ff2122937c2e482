"""``make bench [SECTION=name]``: each section measures us beside something else and prints ratios."""

import subprocess
import sys

SECTIONS = {
    "engine": ("tests.bench.import_engine", "the engine alone against the reference's command sequence"),
    "api": ("tests.bench.api", "reads of the API beside plain Django REST framework"),
    "jobs": ("tests.bench.jobs", "imports, the queue, followers and the log beside their goals"),
    "main": ("tests.bench.main_job", "the whole import through the API, starting up, memory"),
    "pages": ("tests.bench.pages", "pages of the console, a first visit, and a long log in a browser"),
}


def main() -> int:
    """Run the named section, or all of them one after the other, each in a process of its own."""
    names = sys.argv[1:] or list(SECTIONS)
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        print(f"Unknown section {', '.join(unknown)}; there are {', '.join(SECTIONS)}.", file=sys.stderr)
        return 2
    for name in names:
        module, what = SECTIONS[name]
        print(f"\n== {name}: {what}", flush=True)
        status = subprocess.run([sys.executable, "-m", module], check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
