"""Everything that `make bench` measures, in less than 15 minutes on two cores.

    python -m benchmarks [--small] [--output FILE]

Each part is also a command of its own, `python -m benchmarks.NAME`, and writes its own section of
docs/performance.md.
"""

import sys

from benchmarks import cost, cycle, iteration, memory, overhead, refresh
from benchmarks.common.part import run

PARTS = (cycle.PART, iteration.PART, cost.PART, refresh.PART, memory.PART, overhead.PART)

if __name__ == "__main__":
    sys.exit(run(PARTS))
