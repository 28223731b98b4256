"""Interrupt runs until --kills were killed; print counts as JSON, exit code 1 after an error."""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: threads do not survive a fork


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="stop after this many SIGKILLs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, help="number of different experiments; all by default")
    parser.add_argument("--keep", type=Path, help="keep all folders here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.keep or Path(temporary)
        root.mkdir(parents=True, exist_ok=True)
        return _soak(root, arguments.kills, arguments.seed, arguments.cases)


def _soak(root: Path, kills: int, seed: int, cases: int | None) -> int:
    import matplotlib.figure  # noqa: F401  imported once for all children
    import torch.utils.tensorboard  # noqa: F401

    import kfac_cli.run.runner  # noqa: F401

    from .experiment import write_cases
    from .harness import Soak

    data = root / "cases.npz"
    write_cases(data)
    soak = Soak(root, data, seed, cases)
    tally = soak.tally
    while tally.kills < kills and not tally.wrong:
        soak.run()
        print(f"{tally.runs} runs, {tally.kills} kills", file=sys.stderr)
    counts = {
        "runs": tally.runs,
        "resumptions": tally.resumed,
        "kills": tally.kills,
        "damaged checkpoints": tally.damaged,
        "endings": dict(sorted(tally.endings.items())),
        "wrong": tally.wrong,
    }
    print(json.dumps(counts, indent=2))
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
