"""Seconds to training errors on MNIST: this project's optimizers and their peers, each tuned.

    python -m benchmarks.peers --jax-python PYTHON [--seeds 0,1] [--small] [--output FILE]

Every trial is a process of its own with the same initial parameters and the same stream of
mini-batches. Its clock counts optimizer seconds, mini-batches included, evaluations excluded. The
results are lines of outputs/benchmarks/peers.jsonl, so that an interrupted call continues where it
was; those of another machine or other versions do not count.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common.document import PERFORMANCE
from benchmarks.common.machine import Machine
from benchmarks.common.part import Part, publish, say
from benchmarks.common.problems import MNIST, SMALL
from benchmarks.peers.plan import KFAC_JAX, SECONDS, TARGETS, entrants
from benchmarks.peers.results import append, read
from benchmarks.peers.table import outcome, tables
from benchmarks.peers.trials import Rules, trial
from kfac_cli.errors import UserError

RESULTS = Path("outputs/benchmarks/peers.jsonl")
NOTE = (
    "Optimizer seconds until the error on 10,000 training cases, always the same, is at most the "
    f"target; a miss is one after {SECONDS:g} s. Evaluation is excluded, and kfac-jax's "
    "compilation, which has a row of its own. A peer's best setting is the one that reaches the "
    "lowest target first."
)


def main() -> int:
    """Do the missing trials, then write the section; 1 if one fails."""
    parser = argparse.ArgumentParser(description="peers on MNIST")
    parser.add_argument("--jax-python", help="a Python with kfac-jax; without, it is left out")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--small", action="store_true", help="trials of a second, for tests")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--output", type=Path, default=None)
    given = parser.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    try:
        text = section(given.small, seeds, given.results, given.jax_python)
    except UserError as error:
        say(str(error))
        return 1
    part = Part("peers", "Against other programs", lambda small: text, NOTE, "bench-peers")
    output = given.output or (None if given.small else PERFORMANCE)
    publish(part, given.small, output)
    return 0


def section(small: bool, seeds: list[int], path: Path, jax_python: str | None) -> str:
    """Do what is missing in the results, and make tables of them all."""
    machine = Machine.here()
    key = f"{machine}; small" if small else str(machine)
    limit = 0.5 if small else SECONDS
    rules = Rules(SMALL if small else MNIST, machine.threads, limit, TARGETS[-1])
    chosen = [each for each in entrants() if jax_python or each.peer != KFAC_JAX]
    known = {(r["key"], r["seed"]): r for r in read(path) if r["machine"] == key}
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            for number, each in enumerate(chosen, start=1):
                if (each.key, seed) in known:
                    continue
                say(f"  {number} of {len(chosen)}, seed {seed}: {each.key}")
                found = trial(each, seed, rules, Path(folder), jax_python or "")
                result: dict[str, Any] = {"key": each.key, "seed": seed, "machine": key, **found}
                append(path, result)
                known[each.key, seed] = result
    outcomes = [outcome(each, [known[each.key, s] for s in seeds], limit) for each in chosen]
    versions = {r["versions"] for r in known.values() if "versions" in r}
    return "\n\n".join([f"Peer: {version}." for version in versions] + [tables(outcomes)])


if __name__ == "__main__":
    sys.exit(main())
