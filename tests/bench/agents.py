"""What agents report, each part compared with its goals: statistics over millions of builds and reports."""

import sys

from tests.bench import statistics

if __name__ == "__main__":
    sys.exit(statistics.main())
