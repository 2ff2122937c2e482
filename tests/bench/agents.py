"""Agents, each part compared with its goals: connected agents, the relay, and statistics of what agents report.

Each part is a process of its own, because it starts a database or processes of its own.
"""

import subprocess
import sys

PARTS = {
    "tests.bench.connected": "2,000 connected agents: heartbeats, statistics, coordination",
    "tests.bench.relay": "the relay beside iperf3 and a plain forwarder",
    "tests.bench.statistics": "statistics over a million builds and ten million reports",
}


def main() -> int:
    for module, title in PARTS.items():
        print(f"-- {title}", flush=True)
        status = subprocess.run([sys.executable, "-m", module], check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
